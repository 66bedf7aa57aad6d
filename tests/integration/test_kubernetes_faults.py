"""What goes wrong between us and a Kubernetes cluster: watches, credentials, rights, rules, dead nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from contracts.errors import RefusedError, ShunterError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import Engine, Native, NativeState
from services.scheduler.backends.engines.kubernetes.kinds import JOBS
from services.scheduler.backends.engines.kubernetes.records import Record
from tests.support.engine_stand import Trial
from tests.support.kubernetes_sim.rights import Right
from tests.support.kubernetes_sim.simulator import Simulator
from tests.support.kubernetes_stand import RBAC, KubernetesStand, simulated_cluster

RBAC_PROJECTS = RBAC.with_name("rbac-projects.yaml")


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


class Site:
    """A simulated cluster, and a trial on it."""

    def __init__(self, cluster: KubernetesStand, trial: Trial) -> None:
        assert cluster.simulator is not None
        self.cluster = cluster
        self.simulator: Simulator = cluster.simulator
        self.trial = trial

    async def started(self, engine: Engine, script: str = "exec sleep 60", **values: Any) -> Native:
        order = self.trial.order(script, **values)
        (answer,) = await engine.start([order])
        assert answer.error is None
        return Native(order.name, answer.native_id)

    async def error(self, engine: Engine, **values: Any) -> ShunterError:
        (answer,) = await engine.start([self.trial.order("true", **values)])
        assert answer.error is not None
        return answer.error

    async def running(self, engine: Engine) -> Native:
        native = await self.started(engine)
        await self.trial.until(engine, [native], NativeState.RUNNING)
        return native

    async def ended(self, engine: Engine, native: Native) -> tuple[Reason | None, str]:
        (found,) = await self.trial.until(engine, [native], NativeState.ENDED)
        assert found is not None
        return found.ending, found.reason


async def _site(stack: AsyncExitStack, folder: Path, rights: Path = RBAC, **settings: Any) -> Site:
    cluster = await simulated_cluster(stack, folder / "cluster", rights)
    trial = await stack.enter_async_context(Trial.on(cluster.stand(**settings), folder))
    return Site(cluster, trial)


def _tries() -> AsyncRetrying:
    retried = retry_if_exception_type((AssertionError, ShunterError, pytest.fail.Exception))
    return AsyncRetrying(retry=retried, stop=stop_after_delay(20), wait=wait_fixed(0.1), reraise=True)


# --- watches ----------------------------------------------------------------------------------------------------


async def test_a_watch_that_breaks_goes_on_where_it_was(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    engine = await site.trial.engine()
    native = await site.running(engine)
    site.simulator.api.cut()
    site.simulator.strike(native.name, "OOMKilled")
    assert (await site.ended(engine, native))[0] is Reason.MEMORY
    assert site.simulator.api.asked.count("list jobs") == 1
    assert site.simulator.api.asked.count("watch jobs") == 2


async def test_what_the_server_has_forgotten_is_listed_anew(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    engine = await site.trial.engine()
    first, second = await site.running(engine), await site.running(engine)
    site.simulator.api.faults.append((503, "watch", 2))
    site.simulator.api.cut()
    await asyncio.sleep(0.1)
    site.simulator.delete("jobs", "shunter", first.name)
    site.simulator.store.forget()
    assert (await site.ended(engine, first))[0] is Reason.CANCELED
    await site.trial.until(engine, [second], NativeState.RUNNING)


async def test_without_watches_everything_is_listed_again_and_again(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    site.simulator.api.faults.append((403, "watch", 1000))
    engine = await site.trial.engine()
    native = await site.started(engine, "true")
    assert (await site.ended(engine, native))[0] is None


async def test_a_long_list_comes_in_pages(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path, page=2)
    engine = await site.trial.engine()
    natives = [await site.started(engine) for _ in range(5)]
    asked = len(site.simulator.api.asked)
    other = await site.trial.engine()
    assert set(await other.look(())) == {native.name for native in natives}
    assert site.simulator.api.asked[asked:].count("list jobs") == 3


async def test_a_list_whose_next_page_is_forgotten_is_begun_anew(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path, page=2)
    engine = await site.trial.engine()
    natives = [await site.started(engine) for _ in range(3)]
    site.simulator.api.lost_pages = 1
    jobs, _ = await site.cluster.admin.list(JOBS, Record, namespace="shunter")
    assert {job.metadata.name for job in jobs} == {native.name for native in natives}


async def test_a_look_costs_no_request(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    engine = await site.trial.engine()
    native = await site.running(engine)
    asked = len(site.simulator.api.asked)
    for _ in range(100):
        assert (await engine.look([native]))[native.name].state is NativeState.RUNNING
    assert site.simulator.api.asked[asked:] == []


async def test_a_cluster_that_does_not_answer_is_unavailable(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    engine = await site.trial.engine()
    await engine.look(())
    site.simulator.api.faults.append((500, "", 1000))
    site.simulator.api.cut()
    with pytest.raises(UnavailableError):
        await engine.capacity()
    async for attempt in _tries():
        with attempt, pytest.raises(UnavailableError, match="500"):
            await engine.look(())
    site.simulator.api.faults.clear()
    async for attempt in _tries():
        with attempt:
            await engine.look(())


# --- credentials and rights -------------------------------------------------------------------------------------


async def test_a_token_that_was_replaced_is_read_again(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    engine = await site.trial.engine()
    native = await site.running(engine)
    site.simulator.log_in("second-token")
    await site.started(engine, "true")
    await engine.stop([native])
    await site.trial.until(engine, [native], None)


async def test_who_is_not_known_says_so(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    engine = await site.trial.engine()
    site.simulator.api.tokens.clear()
    error = await site.error(engine)
    assert isinstance(error, UnavailableError)
    assert "does not know us (401)" in error.detail
    with pytest.raises(UnavailableError, match="401"):
        await engine.capacity()
    site.simulator.api.tokens.add("first-token")


@pytest.mark.parametrize(("verb", "plural", "group"), [("create", "jobs", "batch"), ("create", "secrets", "")])
async def test_a_right_that_is_missing_is_named(
    stack: AsyncExitStack, tmp_path: Path, verb: str, plural: str, group: str
) -> None:
    site = await _site(stack, tmp_path)
    assert site.simulator.rights.granted is not None
    site.simulator.rights.granted.remove(Right(verb, group, plural, "shunter"))
    error = await site.error(await site.trial.engine())
    assert isinstance(error, UnavailableError)
    assert f"the right to {verb} {plural}" in error.detail


async def test_a_rule_of_the_site_refuses_a_job_and_nothing_is_left(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    site.simulator.api.refuses = lambda plural, _: "no jobs on Sundays" if plural == "jobs" else ""
    error = await site.error(await site.trial.engine())
    assert isinstance(error, RefusedError)
    assert "no jobs on Sundays" in error.detail
    assert await site.cluster.secrets() == []


@pytest.mark.parametrize("code", [429, 503])
async def test_a_server_with_too_much_to_do_is_asked_again(stack: AsyncExitStack, tmp_path: Path, code: int) -> None:
    site = await _site(stack, tmp_path, timeout=1)
    engine = await site.trial.engine()
    site.simulator.api.faults.append((code, "create jobs", 1))
    error = await site.error(engine)
    assert (type(error), error.retry_after) == (UnavailableError, 1.0)
    # It may have been made all the same, so what it needs stays; when it is seen that it was not, that goes.
    assert len(await site.cluster.secrets()) == 1
    await asyncio.sleep(1.1)
    await engine.look(())
    assert await site.cluster.secrets() == []


# --- what the cluster does --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["PreemptionByScheduler", "TerminationByKubelet"])
async def test_who_has_to_give_way_is_interrupted(stack: AsyncExitStack, tmp_path: Path, reason: str) -> None:
    site = await _site(stack, tmp_path)
    engine = await site.trial.engine()
    native = await site.running(engine)
    site.simulator.evict(native.name, reason)
    ending, told = await site.ended(engine, native)
    assert ending is Reason.INTERRUPTED
    assert reason in told


async def test_a_node_short_of_memory_interrupts(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    engine = await site.trial.engine()
    native = await site.running(engine)
    site.simulator.strike(native.name, "Evicted")
    assert await site.ended(engine, native) == (Reason.INTERRUPTED, "Evicted: The node was low on resource: memory.")


async def test_a_node_that_dies_takes_its_jobs_with_it(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path, lost_after=1, grace=1)
    engine = await site.trial.engine()
    native = await site.running(engine)
    site.simulator.lose_node("n1")
    ending, told = await site.ended(engine, native)
    assert (ending, told) == (Reason.LOST, "node n1 is lost")
    await engine.remove([native])
    await site.trial.until(engine, [native], None)
    # There is no room on it any more.
    room = await engine.capacity()
    assert (room.cpus, room.largest_gpus) == (8.0, 2)


# --- who else there is ------------------------------------------------------------------------------------------


async def test_a_job_of_somebody_elses_is_not_ours(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path)
    order = site.trial.order()
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    theirs = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": order.name},
        "spec": spec | {"suspend": True},
    }
    theirs["metadata"] = {"name": order.name, "namespace": "shunter"}
    await site.cluster.admin.create(JOBS, "shunter", theirs, Record)
    engine = await site.trial.engine()
    (answer,) = await engine.start([order])
    assert isinstance(answer.error, RefusedError)
    assert await engine.look(()) == {}


async def test_kueue_lets_jobs_go_and_says_why_not_yet(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path, queue="lab", queues=["night"])
    site.simulator.api.has_kueue = True
    engine = await site.trial.engine()
    native = await site.started(engine, options={"queue": "night"})
    job = site.simulator.store.get("jobs", "shunter", native.name)
    assert job is not None
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "night"
    meta = {"name": "w", "namespace": "shunter", "labels": {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]}}
    waits = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "insufficient quota for cpu"}
    site.simulator.store.add("workloads", {"metadata": meta, "status": {"conditions": [waits]}})
    async for attempt in _tries():
        with attempt:
            found = (await engine.look([native]))[native.name]
            assert found.state is NativeState.WAITING
            assert found.reason == "suspended: queue night: Pending: insufficient quota for cpu"
    job["spec"]["suspend"] = False
    site.simulator.store.touch("jobs", job)
    await site.trial.until(engine, [native], NativeState.RUNNING)
    refused = await site.error(engine, options={"queue": "other"})
    assert isinstance(refused, RefusedError)
    assert [field.field for field in refused.errors] == ["placement.options.kubernetes.queue"]


async def test_each_project_has_a_namespace_with_a_quota(stack: AsyncExitStack, tmp_path: Path) -> None:
    wanted = {"project_namespaces": "lab-{project}", "create_namespaces": True, "quota": {"requests.cpu": "2"}}
    site = await _site(stack, tmp_path, RBAC_PROJECTS, **wanted)
    engine = await site.trial.engine()
    native = await site.started(engine, project="Deep Learning")
    await site.trial.until(engine, [native], NativeState.RUNNING)
    namespace = native.native_id.partition("/")[0]
    assert namespace.startswith("lab-deep-learning-")
    made = site.simulator.store.get("namespaces", "", namespace)
    quota = site.simulator.store.get("resourcequotas", namespace, "shunter")
    assert made is not None
    assert quota is not None
    assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert quota["spec"]["hard"] == {"requests.cpu": "2"}
    # Who does not know where it is finds it, as after a crash.
    await (await site.trial.engine()).stop([Native(native.name, "")])
    await site.trial.until(engine, [native], None)


async def test_a_project_without_a_namespace_is_refused(stack: AsyncExitStack, tmp_path: Path) -> None:
    site = await _site(stack, tmp_path, RBAC_PROJECTS, project_namespaces="lab-{project}")
    error = await site.error(await site.trial.engine(), project="physics")
    assert isinstance(error, RefusedError)
    assert "no namespace 'lab-physics'" in error.detail


# --- the manifests of rights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("manifest", [RBAC, RBAC_PROJECTS], ids=lambda path: path.stem)
async def test_we_are_granted_what_we_ask_for_and_no_more(
    stack: AsyncExitStack, tmp_path: Path, manifest: Path
) -> None:
    """Everything that an engine can ask for, under these rights: none is missing, and none was not used."""
    projects = {"project_namespaces": "lab-{project}", "create_namespaces": True, "quota": {"count/jobs.batch": "2"}}
    site = await _site(stack, tmp_path, manifest, queues=["night"], **(projects if manifest == RBAC_PROJECTS else {}))
    site.simulator.api.has_kueue = True
    engine = await site.trial.engine()
    orders = [site.trial.order("true"), site.trial.order(options={"queue": "night"})]
    first, second = [Native(order.name, answer.native_id) for order, answer in zip(
        orders, await engine.start(orders), strict=True
    )]  # fmt: skip
    await site.trial.until(engine, [first], NativeState.ENDED)
    assert (await engine.start(orders[1:]))[0].native_id == second.native_id
    if manifest == RBAC_PROJECTS:
        assert "quota" in (await site.error(engine)).detail
    await asyncio.sleep(1.1)
    await engine.look([first, second])
    await engine.capacity()
    await engine.stop([second])
    await site.trial.until(engine, [second], None)
    await engine.remove([first, second])
    rights = site.simulator.rights
    assert rights.granted is not None
    assert rights.granted - rights.used == await _used_for_an_array(stack, tmp_path / "other", manifest)


async def _used_for_an_array(stack: AsyncExitStack, folder: Path, manifest: Path) -> set[Right]:
    """End one of two native jobs that share a Job, and return what that takes beside all else."""
    projects = {"project_namespaces": "lab-{project}", "create_namespaces": True}
    site = await _site(stack, folder, manifest, **(projects if manifest == RBAC_PROJECTS else {}))
    engine = await site.trial.engine()
    orders = [site.trial.order(), site.trial.order()]
    one, other = [Native(order.name, answer.native_id) for order, answer in zip(
        orders, await engine.start(orders), strict=True
    )]  # fmt: skip
    await site.trial.until(engine, [one, other], NativeState.RUNNING)
    await engine.stop([one])
    await site.trial.until(engine, [one], None)
    return {right for right in site.simulator.rights.used if (right.verb, right.plural) == ("delete", "pods")}


def test_the_manifests_are_good() -> None:
    from tests.support.kubernetes_sim.documents import faults_of

    for manifest in (RBAC, RBAC_PROJECTS):
        documents = list(yaml.safe_load_all(manifest.read_text()))
        assert [faults_of(document) for document in documents] == [[]] * len(documents)
