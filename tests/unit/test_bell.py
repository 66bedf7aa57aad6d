"""What schedulers tell each other about a cluster's work."""

from __future__ import annotations

import pytest

from services.scheduler.natives.bell import Bell


@pytest.mark.parametrize(
    ("words", "work", "wishes"),
    [(Bell().there_is_work, True, False), (Bell().there_is_a_wish, True, True), (b"", True, True)],
    ids=["work", "a wish", "an older scheduler's"],
)
def test_it_rings_for_what_another_process_says(words: bytes, work: bool, wishes: bool) -> None:
    bell = Bell()
    bell.hear(words)
    assert (bell.work.is_set(), bell.wishes.is_set()) == (work, wishes)


def test_what_its_own_process_said_is_no_news() -> None:
    bell = Bell()
    bell.hear(bell.there_is_work)
    bell.hear(bell.there_is_a_wish)
    assert not bell.work.is_set()
    assert not bell.wishes.is_set()
