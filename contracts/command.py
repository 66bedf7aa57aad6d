"""What every command is."""

from __future__ import annotations

from typing import ClassVar

from .model import Message

__all__ = ["NO_TARGET", "Command"]

NO_TARGET = "none"
"""The last token of the subject of a command that is about nothing in particular: such commands know no order."""


class Command(Message):
    """A wish. Its subject is `commands.<service>.<noun>.<verb>.<id>`, computed in `contracts.subjects`."""

    service: ClassVar[str]
    is_direct: ClassVar[bool] = False
    """Whether one whose sender waits goes straight to the service, and by the stream only if it is not done there."""

    makes: ClassVar[str] = ""
    """The field with the identifier of what it makes, if its sender chose it: who has no answer asks again with it."""

    @property
    def target_id(self) -> str:
        """Return the token that ends the subject; commands of one target are handled in order."""
        return NO_TARGET
