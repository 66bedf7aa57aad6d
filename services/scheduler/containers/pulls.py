"""Has images there before they are run. A pull takes minutes: it goes on beside, and whoever needs it comes again."""

from __future__ import annotations

import asyncio
from time import monotonic

import docker
from docker.auth import load_config, resolve_repository_name
from docker.errors import APIError
from docker.utils import parse_repository_tag

from contracts.errors import InvalidError, RefusedError, UnavailableError

from .link import GONE, Link, status_of, words_of
from .settings import EngineAccess

__all__ = ["Pulls"]

_WAIT = 1.0
"""Seconds that a pull is waited for; a refusal comes sooner."""

_HOLDS = 30.0
"""Seconds for which the outcome of a pull stands."""

_NOBODY = {"username": "nobody", "password": "nobody"}
"""A registry that wants to know who asks says no to somebody; about one without a name the engine says only: failed."""


class Pulls:
    """The images of one engine."""

    def __init__(self, settings: EngineAccess, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._pulls: dict[str, tuple[asyncio.Task[None], float]] = {}

    async def have(self, image: str) -> None:
        """Return when *image* may be run; `RefusedError`: it never can be; `UnavailableError`: come again."""
        if self._settings.pull != "always" and await self._is_there(image):
            return
        if self._settings.pull == "never":
            raise InvalidError.of("image", f"{image} is not on this backend, which fetches none")
        pull = self._pull(image)
        await asyncio.wait([pull], timeout=_WAIT)
        if not pull.done():
            raise UnavailableError(f"its image {image} is being fetched")
        pull.result()

    async def close(self) -> None:
        """Wait for no pull any more; the engine ends them."""
        for pull, _ in self._pulls.values():
            pull.cancel()
        await asyncio.gather(*(pull for pull, _ in self._pulls.values()), return_exceptions=True)

    def _pull(self, image: str) -> asyncio.Task[None]:
        """Return the pull of an image that is going on or has ended just now."""
        for name, (pull, since) in list(self._pulls.items()):
            if pull.done() and monotonic() - since > _HOLDS:
                del self._pulls[name]
        if image not in self._pulls:
            self._pulls[image] = asyncio.create_task(self._fetch(image)), monotonic()
            self._pulls[image][0].add_done_callback(lambda pull: self._note(image, pull))
        return self._pulls[image][0]

    def _note(self, image: str, pull: asyncio.Task[None]) -> None:
        """Have the time count from the end; an error nobody asks for any more is no news."""
        self._pulls[image] = pull, monotonic()
        if not pull.cancelled():
            pull.exception()

    async def _is_there(self, image: str) -> bool:
        try:
            await self._link.call(lambda client: client.inspect_image(image))
        except RefusedError as error:
            if status_of(error.__cause__) == GONE:
                return False
            raise InvalidError.of("image", error.detail) from error
        return True

    async def _fetch(self, image: str) -> None:
        said = await self._link.call(lambda client: _pull(client, image, self._settings), slow=True)
        if not said:
            return
        if await self._link.plain(lambda client: _is_refused(client, image, self._settings), slow=True):
            raise InvalidError.of("image", said)
        raise UnavailableError(f"its image {image} cannot be fetched now: {said}")


def _pull(client: docker.APIClient, image: str, settings: EngineAccess) -> str:
    """Fetch an image; returns what went wrong."""
    repository, tag = parse_repository_tag(image)
    try:
        for line in client.pull(
            repository, tag or "latest", stream=True, decode=True, auth_config=_login(image, settings)
        ):
            if "error" in line:
                return str(line["error"])
    except APIError as error:
        return words_of(error)
    return ""


def _is_refused(client: docker.APIClient, image: str, settings: EngineAccess) -> bool:
    """Say whether its registry answers no. A pull does not tell that from a registry that is away."""
    try:
        client.inspect_distribution(image, auth_config=_login(image, settings) or _NOBODY)
    except APIError as error:
        return 400 <= (status_of(error) or 0) < 500
    return False


def _login(image: str, settings: EngineAccess) -> dict[str, str]:
    """Return what the registry of an image wants to know, from the site's file and from nowhere else."""
    if settings.credentials is None:
        return {}
    registry, _ = resolve_repository_name(image)
    return load_config(str(settings.credentials)).resolve_authconfig(registry) or {}
