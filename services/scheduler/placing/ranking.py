"""In which order the backends that can hold a job are tried: pure figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.placements import PlacementOrder
from contracts.spec import JobSpec
from services.scheduler.backends.facts import BackendFacts
from services.scheduler.backends.registry import Standing

from .settings import PlacementPolicy, PlacementSettings

__all__ = ["Ranking", "bytes_to_move", "price_of", "ranking_of"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The backends that can hold a job, and how one of them is chosen."""

    order: PlacementOrder
    standings: tuple[Standing, ...]
    ordered: bool
    """Whether the first with room is taken; else the one with most room."""
    why: str
    """For people: by what they were put into this order."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return their names, the best liked first."""
        return tuple(standing.backend.name for standing in self.standings)


def ranking_of(
    spec: JobSpec, standings: Sequence[Standing], policy: PlacementPolicy, settings: PlacementSettings, size: int
) -> Ranking:
    """Put backends into the order of a job that brings so many bytes; its own wish goes before the policy."""
    if spec.placement.named:
        order = PlacementOrder.ORDERED if spec.placement.backends else PlacementOrder.PINNED
        return _listed(standings, spec.placement.named, order, "the job names it")
    if policy.order is PlacementOrder.CHEAPEST:
        return _by(standings, lambda one: price_of(spec, one.facts), policy.order, "price")
    if policy.order is PlacementOrder.NEAREST:
        return _by(standings, lambda one: float(bytes_to_move(one.facts, settings, size)), policy.order, "way")
    if policy.order is PlacementOrder.EMPTIEST:
        return Ranking(policy.order, tuple(standings), ordered=False, why="it has the most free cores")
    return _listed(standings, policy.backends, policy.order, "the site's policy names it")


def _listed(standings: Sequence[Standing], names: Sequence[str], order: PlacementOrder, why: str) -> Ranking:
    sorted_ = sorted(standings, key=lambda one: names.index(one.backend.name))
    several = len(sorted_) > 1
    told = f"{why} first among those that have room" if several else why
    return Ranking(order, tuple(sorted_), ordered=several, why=told)


_BEST = {PlacementOrder.CHEAPEST: "it is the cheapest that has room", PlacementOrder.NEAREST: "it is the nearest"}


def _by(
    standings: Sequence[Standing], figure: Callable[[Standing], float], order: PlacementOrder, what: str
) -> Ranking:
    figures = {figure(one) for one in standings}
    if len(figures) < 2:
        why = f"the {what} is the same to all that can hold it: it has the most free cores"
        return Ranking(order, tuple(standings), ordered=False, why=why)
    return Ranking(order, tuple(sorted(standings, key=figure)), ordered=True, why=_BEST[order])


def price_of(spec: JobSpec, facts: BackendFacts) -> float:
    """Return what a job costs if it runs for its whole walltime; where nothing is told, it costs nothing."""
    if facts.cost is None:
        return 0.0
    wanted = spec.resources
    hours = wanted.walltime.total_seconds() / 3600
    return hours * (wanted.total_cpus * facts.cost.cpu_hour + wanted.total_gpus * facts.cost.gpu_hour)


def bytes_to_move(facts: BackendFacts, settings: PlacementSettings, size: int) -> int:
    """Return how many bytes come from afar: none where the store lies beside the backend."""
    places = {settings.store, *([settings.store_site] if settings.store_site else [])}
    beside = bool(places & set(facts.near)) or (facts.site is not None and facts.site == settings.store_site)
    return 0 if beside else size
