"""Parts cover a file without gap or overlap, and are never too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.storage.plans import MAX_PARTS, Piece, part_size_for, pieces

MIB = 2**20
LARGEST = 5 * 2**40


@given(st.integers(0, LARGEST), st.integers(5 * MIB, 64 * MIB))
def test_parts_cover_the_file_and_fit_into_one_plan(size: int, wanted: int) -> None:
    part_size = part_size_for(size, wanted)
    found = list(pieces(size, part_size))

    assert wanted <= part_size <= 5 * 2**30
    assert len(found) <= MAX_PARTS
    assert [piece.number for piece in found] == list(range(1, len(found) + 1))
    assert [piece.offset for piece in found] == [part_size * number for number in range(len(found))]
    assert sum(piece.size for piece in found) == size
    assert all(piece.size == part_size for piece in found[:-1])


def test_an_empty_file_has_one_empty_part() -> None:
    assert list(pieces(0, 5 * MIB)) == [Piece(1, 0, 0)]


def test_a_file_of_exactly_one_part_has_one_part() -> None:
    assert list(pieces(5 * MIB, 5 * MIB)) == [Piece(1, 0, 5 * MIB)]
