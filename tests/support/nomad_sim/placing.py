"""The scheduler: where an allocation goes, and why it goes nowhere."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from uuid import uuid4

from .store import Row, SimNode, Store

__all__ = ["Placed", "allocation", "place"]

_NO_DEVICES = "devices: no devices match request"


@dataclass(frozen=True, slots=True)
class Placed:
    """A node and the devices there, or why there is none."""

    node: SimNode | None
    devices: tuple[Row, ...] = ()
    metric: Row | None = None


def place(store: Store, job: Row) -> Placed:
    """Choose the first node that is fit and has room."""
    task = job["TaskGroups"][0]["Tasks"][0]
    filtered: Counter[str] = Counter()
    exhausted: Counter[str] = Counter()
    available = dict.fromkeys(job["Datacenters"], 0)
    for node in store.nodes.values():
        if not node.is_open or node.datacenter not in job["Datacenters"]:
            continue
        available[node.datacenter] += 1
        if why := _unfit(node, job, task):
            filtered[why] += 1
            continue
        short, devices = _room(store, node, task)
        if short is None:
            return Placed(node, tuple(devices))
        exhausted[short] += 1
    metric = {
        "NodesEvaluated": sum(available.values()), "NodesFiltered": filtered.total(), "NodesAvailable": available,
        "ClassFiltered": None, "ConstraintFiltered": dict(filtered) or None, "NodesExhausted": exhausted.total(),
        "ClassExhausted": None, "DimensionExhausted": dict(exhausted) or None, "QuotaExhausted": None,
        "CoalescedFailures": 0,
    }  # fmt: skip
    return Placed(None, metric=metric)


def _unfit(node: SimNode, job: Row, task: Row) -> str:
    if task["Driver"] not in node.drivers:
        return "missing drivers"
    for each in [*(job.get("Constraints") or []), *(job["TaskGroups"][0].get("Constraints") or [])]:
        if not _holds(_attribute(node, each["LTarget"]), each["Operand"], each["RTarget"]):
            return f"{each['LTarget']} {each['Operand']} {each['RTarget']}"
    for wish in (task["Resources"].get("Devices")) or []:
        if len(_matching(node, wish)) < wish["Count"]:
            return "missing devices"
    return ""


def _attribute(node: SimNode, target: str) -> str | None:
    found = re.fullmatch(r"\$\{(attr|meta|node)\.([^}]+)\}", target)
    if not found:
        return target
    kind, key = found.groups()
    if kind == "node":
        return {"class": node.node_class, "datacenter": node.datacenter, "unique.name": node.name}.get(key)
    defaults = {"kernel.name": "linux", "cpu.arch": "amd64", "cpu.numcores": str(node.cores)}
    return node.meta.get(key) if kind == "meta" else (defaults | node.attributes).get(key)


def _holds(has: str | None, operand: str, wanted: str) -> bool:
    if has is None:
        return operand in {"!=", "not", "is_not_set"}
    match operand:
        case "=" | "==" | "is" | "":
            return has == wanted
        case "!=" | "not":
            return has != wanted
        case "regexp":
            return re.search(wanted, has) is not None
        case "set_contains":
            return set(wanted.split(",")) <= set(has.split(","))
        case _:
            raise ValueError(f"the simulator does not know the operator {operand!r}")


def _matching(node: SimNode, wish: Row) -> list[tuple[str, str]]:
    """Return models and ids of the node's devices that a request is for."""
    wanted = wish["Name"].split("/", 2)
    return [
        (model, device)
        for model, devices in node.devices().items()
        for device in devices
        if wanted == ["nvidia", "gpu", model][: len(wanted)]
        and all(
            _holds(_of_device(model, each["LTarget"]), each["Operand"], each["RTarget"])
            for each in wish.get("Constraints") or []
        )
    ]


def _of_device(model: str, target: str) -> str | None:
    return {"${device.model}": model, "${device.vendor}": "nvidia", "${device.type}": "gpu"}.get(target)


def _room(store: Store, node: SimNode, task: Row) -> tuple[str | None, list[Row]]:
    given = [each["AllocatedResources"]["Tasks"].values() for each in store.allocs_on(node)]
    tasks = [task for each in given for task in each]
    wishes = task["Resources"]
    if sum(each["Cpu"]["CpuShares"] for each in tasks) + _shares(node, wishes) > node.mhz:
        return "cpu", []
    if sum(each["Memory"]["MemoryMB"] for each in tasks) + wishes["MemoryMB"] > node.memory:
        return "memory", []
    taken = {device for each in tasks for held in each["Devices"] or [] for device in held["DeviceIDs"]}
    devices: list[Row] = []
    for wish in wishes.get("Devices") or []:
        free = [(model, device) for model, device in _matching(node, wish) if device not in taken]
        if len(free) < wish["Count"]:
            return _NO_DEVICES, []
        chosen = [device for _, device in free[: wish["Count"]]]
        devices.append({"Vendor": "nvidia", "Type": "gpu", "Name": free[0][0], "DeviceIDs": chosen})
    return None, devices


def _shares(node: SimNode, wishes: Row) -> int:
    cores = wishes.get("Cores")
    return int(cores * node.mhz // node.cores if cores else wishes["CPU"])


def allocation(job: Row, evaluation: Row, placed: Placed) -> Row:
    """Return the row of a new allocation."""
    assert placed.node is not None
    group = job["TaskGroups"][0]
    resources = group["Tasks"][0]["Resources"]
    given = {
        "Cpu": {
            "CpuShares": _shares(placed.node, resources),
            "ReservedCores": list(range(resources.get("Cores") or 0)),
        },
        "Memory": {"MemoryMB": resources["MemoryMB"], "MemoryMaxMB": 0},
        "Networks": None,
        "Devices": list(placed.devices) or None,
    }
    task = group["Tasks"][0]["Name"]
    return {
        "ID": str(uuid4()), "EvalID": evaluation["ID"], "Name": f"{job['ID']}.{group['Name']}[0]",
        "Namespace": job["Namespace"], "NodeID": placed.node.id, "NodeName": placed.node.name, "JobID": job["ID"],
        "JobType": job["Type"], "JobVersion": job["Version"], "TaskGroup": group["Name"], "DesiredStatus": "run",
        "DesiredDescription": "", "ClientStatus": "pending", "ClientDescription": "", "PreemptedByAllocation": "",
        "AllocatedResources": {"Tasks": {task: given}, "Shared": {"DiskMB": 300}},
        "TaskStates": None,
    }  # fmt: skip
