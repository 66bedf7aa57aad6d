"""How the names of our jobs are found again where many of them are one array of Slurm's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["comment_of", "names_of", "portions"]

_MOST = 1000
"""Characters of a comment; Slurm takes 1024."""

_WORD = "tasks"


def comment_of(site: str, names: Sequence[str]) -> str:
    """Return the comment of an array: the site, and the name of each task in their order."""
    common = _common(names)
    return f"{site} {_WORD} {common} {','.join(name[len(common) :] for name in names)}"


def _common(names: Sequence[str]) -> str:
    """Return what all begin with."""
    first, last = min(names), max(names)
    length = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:length]


def names_of(comment: str) -> tuple[str, ...]:
    """Return the names of the tasks of an array, or none if its comment is not of our making."""
    words = comment.split(" ")
    if len(words) != 4 or words[1] != _WORD:
        return ()
    return tuple(words[2] + rest for rest in words[3].split(","))


def portions(site: str, names: Sequence[str], most: int) -> Iterator[int]:
    """Divide *names* into arrays of at most *most* tasks whose comments Slurm takes; give how many are in each."""
    begin = 0
    while begin < len(names):
        count = min(most, len(names) - begin)
        while count > 1 and len(comment_of(site, names[begin : begin + count])) > _MOST:
            count -= max(1, count // 8)
        yield count
        begin += count
