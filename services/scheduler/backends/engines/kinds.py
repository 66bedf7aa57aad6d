"""The kinds of backends there are: ours, and those that packages of others bring. Loaded when one is configured."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from contracts.errors import InvalidError

from .base import Engine

__all__ = ["BUILT_IN", "GROUP", "kinds", "load"]

GROUP = "shunter.backends"
"""The group of entry points: the name is the kind, the value `module:Class` of an `Engine`."""

BUILT_IN = frozenset({"local", "pull"})
"""Those that are no engine of a cluster: resident runners, and workers from elsewhere."""

_HERE = "services.scheduler.backends.engines"

_OURS = {
    "slurm": f"{_HERE}.slurm.engine:SlurmEngine",
    "ray": f"{_HERE}.ray.engine:RayEngine",
    "docker": f"{_HERE}.docker.engine:DockerEngine",
    "kubernetes": f"{_HERE}.kubernetes.engine:KubernetesEngine",
    "nomad": f"{_HERE}.nomad.engine:NomadEngine",
}


def kinds() -> list[str]:
    """Return all kinds."""
    return sorted({*BUILT_IN, *_OURS, *entry_points(group=GROUP).names})


@cache
def load(kind: str) -> type[Engine]:
    """Return the engine of a kind; `InvalidError` says what is wrong with it."""
    try:
        found = _class_of(kind)
    except (ImportError, AttributeError) as error:
        hint = f"; `pip install 'shunter[{kind}]'` brings what it needs" if kind in _OURS else ""
        raise InvalidError.of("kind", f"the backend {kind!r} cannot be loaded: {error}{hint}") from error
    if not (isinstance(found, type) and issubclass(found, Engine)):
        raise InvalidError.of("kind", f"what the kind {kind!r} names is no engine, but {found!r}")
    return found


def _class_of(kind: str) -> object:
    for entry in entry_points(group=GROUP, name=kind):
        return entry.load()
    if kind not in _OURS:
        raise InvalidError.of("kind", f"there is no {kind!r}; there are: {', '.join(kinds())}")
    module, _, name = _OURS[kind].partition(":")
    return getattr(import_module(module), name)
