"""The object store is full, slow or lies: the state is clear, and nothing is lost or passed on unseen."""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.drill import PATIENT, Drill
from tests.support.fault_proxy import Mode
from tests.support.fault_stack import FaultStack, await_that, run_fault_stack
from tests.support.jobs import submit, until_ended
from tests.support.small_disk import fill, small_disk

_TRUE, _FALSE = b"the truth, and nothing but", b"a lie, of the same length."


def test_wrong_bytes_fail_the_job_at_staging_and_never_reach_it(fault_stack: FaultStack, drill: Drill) -> None:
    owner = fault_stack.client()
    path = f"{drill.name}/true.txt"
    drill.upload("owner", path, _TRUE, patience=PATIENT)
    fault_stack.proxy.lie("runner-s3", _TRUE, _FALSE)
    witness = drill.folder / "seen"
    job = submit(owner, script=f"cat true.txt > {witness}", inputs=[{"source": path}])
    ended = until_ended(owner, job)
    assert (ended["state"], ended["reason"]) == ("failed", "staging"), ended
    assert "checksum" in ended["message"]
    assert not witness.exists()
    fault_stack.proxy.heal()
    drill.submit("owner", "stage", path)
    drill.adopt("owner", job, ends="failed")
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])


def test_bytes_that_the_store_changed_are_not_taken_as_stored(fault_stack: FaultStack, drill: Drill) -> None:
    fault_stack.proxy.lie("storage-s3", _TRUE, _FALSE)
    answer = fault_stack.client().put(f"/v1/files/{drill.name}/changed.txt", content=_TRUE)
    assert not answer.is_success
    assert answer.json()["code"], answer.text
    fault_stack.proxy.heal()
    assert drill.reckon().broken == []


def test_a_slow_store_makes_jobs_slow_and_nothing_else(fault_stack: FaultStack, drill: Drill) -> None:
    for link in ("runner-s3", "storage-s3"):
        fault_stack.proxy.set(link, Mode.SLOW, delay=0.3)
    drill.upload("owner", f"{drill.name}/in.bin", b"slowly" * 500, patience=PATIENT)
    for _ in range(3):
        drill.submit("owner", "stage", f"{drill.name}/in.bin")
    drill.submit("other", "ok")
    for number, order in enumerate(drill.orders):
        assert until_ended(fault_stack.client(order.user), drill.job_of(number))["state"] == "succeeded"
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])


def test_a_full_disk_under_the_store_is_said_and_loses_nothing(tmp_path: Path, settle: float) -> None:
    with small_disk(tmp_path / "data" / "s3", "192m") as disk, run_fault_stack(tmp_path / "data") as stack:
        drill = Drill(stack, "full", tmp_path / "drill", settle)
        drill.upload("owner", "before.bin", os.urandom(100_000), patience=PATIENT)
        drill.submit("owner", "stage", "before.bin")
        assert until_ended(stack.client(), drill.job_of(0))["state"] == "succeeded"
        ballast = fill(disk)
        refused = stack.client().put("/v1/files/during.bin", content=os.urandom(2_000_000))
        drill.note(f"while full: {refused.status_code} {refused.text[:200]}")
        assert refused.status_code in {503, 507}, refused.text
        drill.submit("owner", "stage", "before.bin")
        drill.job_of(1)
        await_that(lambda: (drill.folder / "witness").read_text().count("end") == 2, "the second job to have run")
        ballast.unlink()
        drill.upload("owner", "after.bin", os.urandom(100_000))
        outcome = drill.reckon()
        assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])
