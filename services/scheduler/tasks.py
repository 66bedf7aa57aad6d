"""Says a workload's attempt as a task for a runner."""

from __future__ import annotations

from contracts.applications import FILES
from contracts.runs import RunTask, RunTicket

from .context import workload_context
from .records import Record, inputs_of, to_workload

__all__ = ["make_task", "ticket_of"]


def ticket_of(row: Record, attempt: int) -> RunTicket:
    """Return what an attempt may do at storage."""
    return RunTicket(
        owner=row["owner"],
        project=row["project"],
        workload_id=row["id"],
        attempt=attempt,
        folders=sorted({output["to"] for output in row["spec"]["outputs"] if output.get("to")}),
    )


def make_task(row: Record, *, ticket: str) -> RunTask:
    """Return the task; it holds what the runner needs and no secret but the ticket of this one attempt."""
    workload = to_workload(row)
    spec, wanted = workload.spec, workload.spec.resources
    return RunTask(
        workload_id=workload.id,
        attempt=workload.attempt,
        owner=workload.owner,
        project=workload.project,
        job_name=workload.name,
        argv=spec.argv,
        script=spec.script,
        env=spec.env,
        inherit_env=spec.inherit_env,
        files=FILES if spec.application else None,
        inputs=inputs_of(row),
        outputs=spec.outputs,
        cpus=wanted.total_cpus,
        memory=wanted.total_memory,
        gpus=wanted.total_gpus,
        gpu_model=wanted.gpus.model,
        gpu_memory=None if wanted.gpus.memory is None else int(wanted.gpus.memory),
        gpu_architecture=wanted.gpus.architecture,
        nodes=wanted.nodes,
        processes=wanted.processes,
        options=spec.placement.options,
        image=spec.image,
        environment=spec.placement.environment,
        priority=spec.priority,
        walltime=wanted.walltime.total_seconds(),
        ticket=ticket,
        traceparent=workload_context(workload.id).traceparent,
    )
