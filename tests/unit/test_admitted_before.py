"""What was let in is known again from what was told of it: which inputs all tasks share, and which are their own."""

from __future__ import annotations

from contracts.arrays import ArraySpec
from contracts.runs import FrozenInput
from contracts.spec import After, Input, JobSpec
from services.scheduler.admission import admitted_before

_OTHER = "job-" + "0" * 32


def _frozen(source: str) -> FrozenInput:
    return FrozenInput(source=source, target=source, key="k", size=1, sha256="0" * 64)


def test_the_inputs_of_an_array_are_told_apart() -> None:
    sources = ["in/{index}.txt", "model.bin", f"jobs/{_OTHER}/outputs/x", "words.txt"]
    spec = JobSpec(
        argv=["true"],
        array=ArraySpec(items=["a", "b"]),
        inputs=[Input(source=source, path=f"at/{place}") for place, source in enumerate(sources)],
        after=[After(job=_OTHER)],
    )
    told = [_frozen(name) for name in ("model.bin", "words.txt", "in/0.txt", "in/1.txt")]
    found = admitted_before(spec, told, None)
    assert [item.source for item in found.inputs] == ["model.bin", "words.txt"]
    assert [item.source for item in found.own_inputs] == ["in/0.txt", "in/1.txt"]
    assert found.kept.array == ArraySpec(count=2, listed=True)


def test_a_plain_job_has_no_inputs_of_its_tasks() -> None:
    spec = JobSpec(argv=["true"], inputs=[Input(source="a"), Input(source="b")])
    found = admitted_before(spec, [_frozen("a"), _frozen("b")], None)
    assert ([item.source for item in found.inputs], found.own_inputs) == (["a", "b"], [])
