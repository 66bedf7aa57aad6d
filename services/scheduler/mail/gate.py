"""What speaks against a wish for mail: said when it is asked for, and not when the mail is due."""

from __future__ import annotations

from contracts.errors import InvalidError
from contracts.mail import Notify
from contracts.principals import Principal

from .settings import Mail

__all__ = ["MailGate"]

_SETTING = "scheduler.mail"


class MailGate:
    """Knows whether the site sends mail, and where to."""

    def __init__(self, settings: Mail) -> None:
        self._settings = settings

    def admit(self, wish: Notify, principal: Principal, place: str = "notify") -> Notify | None:
        """Return the wish with the owner's own address; none where nothing can be sent and nothing has to be."""
        admitted = wish.model_copy(update={"own": principal.email})
        field, refusal = self._refusal(admitted, place)
        if not refusal:
            return admitted
        if not wish.required:
            return None
        raise InvalidError.of(field, refusal)

    def _refusal(self, wish: Notify, place: str) -> tuple[str, str]:
        if not self._settings.is_on:
            return place, f"this site sends no mail; its operator would have to set {_SETTING}"
        if not wish.recipients:
            return f"{place}.to", "no address of yours is known here; name one, or have an admin write yours down"
        own = (wish.own or "").lower()
        for index, address in enumerate(wish.to):
            if address.lower() != own and not self._settings.allows(address):
                known = f"{address} is not your address as this site knows it"
                return f"{place}.to.{index}", f"{known}; its operator would have to name it in {_SETTING}.to"
        return "", ""
