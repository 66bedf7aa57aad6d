"""Arrays as users ask for them: what is let through, and what is refused before anything has begun."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.arrays import MAX_ITEMS_BYTES, ArraySpec, fill, items_bytes
from contracts.ranges import Ranges
from contracts.spec import JobSpec

NUMBERS = st.sets(st.integers(0, 200), max_size=60)


@given(NUMBERS)
def test_ranges_are_the_numbers_that_they_were_made_of(numbers: set[int]) -> None:
    found = Ranges.of(numbers)
    assert list(found) == sorted(numbers)
    assert len(found) == len(numbers)
    assert not numbers or list(Ranges.parse(str(found))) == sorted(numbers)
    assert [found.place_of(number) for number in sorted(numbers)] == list(range(len(numbers)))


@given(NUMBERS, NUMBERS, st.integers(0, 70), st.integers(0, 70))
def test_ranges_know_what_sets_know(one: set[int], other: set[int], start: int, stop: int) -> None:
    first, second = Ranges.of(one), Ranges.of(other)
    assert set(first & second) == one & other
    assert set(first | second) == one | other
    assert first.slice(start, stop) == sorted(one)[start:stop]
    assert list(first.after(start)) == sorted(one)[start:]
    assert all((number in first) == (number in one) for number in other)


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "7-3", "1,,2", "1.5", "9999999999"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"range|backwards"):
        Ranges.parse(text)


def _refused(**spec: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate({"argv": ["true"], **spec})
    return str(caught.value)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        ({}, "either count or items"),
        ({"count": 2, "items": ["a"]}, "either count or items"),
        ({"count": 0}, "greater than or equal to 1"),
        ({"count": 100_001}, "less than or equal to 100000"),
        ({"items": []}, "at least 1 item"),
        ({"items": ["a"] * 100_001}, "at most 100000 items"),
        ({"items": ["a\x00b"]}, "item 0 holds a NUL"),
        ({"items": ["x" * 9000]}, "at most 8192 characters"),
        ({"items": ["x" * 100] * 50_000}, "at most 3670016"),
        ({"count": 5, "only": "3-5"}, "there is no task 5"),
        ({"count": 5, "only": "x"}, "no task number"),
        ({"count": 5, "max_running": 0}, "greater than or equal to 1"),
        ({"count": 5, "step": 2}, "Extra inputs"),
    ],
)
def test_an_array_that_makes_no_sense_is_refused_with_the_rule(array: dict[str, Any], said: str) -> None:
    assert said in _refused(array=array)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"argv": ["echo", "{item}"]}, "argv.1"),
        ({"env": {"A": "{item}"}}, "env.A"),
        ({"outputs": [{"path": "same.txt"}]}, "outputs.0.path: must hold"),
        ({"outputs": [{"path": "out-{indx}-{index}.txt"}]}, "there is no {indx}"),
        ({"inputs": [{"source": "data/{item}.csv"}]}, "inputs.0.source"),
    ],
)
def test_a_placeholder_that_means_nothing_is_refused_with_its_field(spec: dict[str, Any], said: str) -> None:
    assert said in _refused(array={"count": 3}, **spec)


def test_an_item_that_leads_out_of_the_folder_is_refused() -> None:
    said = _refused(array={"items": ["ok", "../../etc"]}, outputs=[{"path": "out/{item}"}])
    assert "outputs.0.path: with item 1: '..'" in said


def test_braces_that_are_no_placeholders_stay() -> None:
    spec = JobSpec.model_validate({"argv": ["awk", "{print $1}", "{index}"], "array": {"count": 2}})
    assert [fill(word, 7, None) for word in spec.argv or ()] == ["awk", "{print $1}", "7"]
    assert fill("{item}-{index}{{index}}", 3, "{index}") == "{index}-3{3}"


def test_records_do_not_repeat_items_and_can_still_be_read() -> None:
    spec = JobSpec.model_validate({"argv": ["echo", "{item}"], "array": {"items": ["a", "b"]}})
    assert spec.array is not None
    kept = spec.model_copy(update={"array": spec.array.kept()})
    again = JobSpec.model_validate(kept.model_dump(mode="json"))
    assert again.array == ArraySpec(count=2, listed=True)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=20))
def test_items_are_never_larger_as_json_than_was_counted(items: list[str]) -> None:
    items = [item.replace("\x00", "") for item in items]
    array = ArraySpec(items=items)
    assert len(array.model_dump_json(include={"items"})) <= items_bytes(items) + 20 + len(items)
    assert items_bytes(items) < MAX_ITEMS_BYTES
