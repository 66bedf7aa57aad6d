"""Tells where a job would go as things stand, and what speaks against every other backend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.errors import InvalidError
from contracts.model import now
from contracts.placements import Candidate, PlacementOrder, PlacementView, PlaceWorkload, Start
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from services.scheduler.admission import Admission
from services.scheduler.backends.registry import Standing
from services.scheduler.queue.demand import Demand, demand_of
from services.scheduler.queue.dispatcher import Dispatcher
from services.scheduler.queue.lanes import LaneKey

from .placer import Placer, Verdict
from .ranking import Ranking, bytes_to_move, price_of

__all__ = ["Previewer", "Weighed"]


@dataclass(frozen=True, slots=True)
class Weighed:
    """All backends, with what is to be said of each for one job."""

    ranking: Ranking
    chosen: str | None
    """Where it goes now, or would if there were room; None if none can hold it."""
    at_once: bool
    """Whether there is room now."""
    candidates: list[Candidate]

    @property
    def elsewhere(self) -> list[str]:
        """Say of all others in one line each why it does not go there."""
        others = [one for one in self.candidates if not one.chosen]
        return [f"{one.backend}: {one.field + ': ' if one.field else ''}{one.reason}" for one in others]


class Previewer:
    """Goes by the same rooms, limits and rankings as the dispatcher; changes nothing."""

    def __init__(self, *, admission: Admission, placer: Placer, dispatcher: Dispatcher) -> None:
        self._admission = admission
        self._placer = placer
        self._dispatcher = dispatcher

    async def preview(self, query: PlaceWorkload) -> PlacementView:
        """Say where a job would go if it were submitted now."""
        spec, inputs = await self._admission.admit_in_thought(query.spec, query.principal)
        weighed = await self.weigh(spec, inputs, query.principal.subject)
        start, why = self._start(spec, weighed, query.principal.subject)
        several = sum(one.fits for one in weighed.candidates) > 1
        return PlacementView(
            backend=weighed.chosen,
            start=start,
            why=why,
            order=weighed.ranking.order,
            patience=self._placer.patience(spec) if several else None,
            candidates=weighed.candidates,
        )

    async def weigh(self, spec: JobSpec, inputs: Sequence[FrozenInput], owner: str) -> Weighed:
        """Say of every backend what speaks for or against it."""
        verdicts = await self._placer.weigh(spec)
        ranking = self._placer.rank(spec, verdicts, inputs)
        key, demand = _key_of(spec, ranking, owner), _demand_of(spec)
        now_on = self._dispatcher.rooms.choose(key, demand)
        chosen = now_on or self._later_on(ranking)
        told = _Teller(self._placer, spec, ranking, inputs, chosen)
        places = {name: place for place, name in enumerate(ranking.names)}
        rooms = self._dispatcher.rooms
        ready = {name for name in ranking.names if rooms.takes(name, demand, key) and rooms.has_room(name, demand)}
        candidates = [told.candidate(verdict, ready=verdict.standing.backend.name in ready) for verdict in verdicts]
        candidates.sort(key=lambda one: (not one.chosen, not one.fits, places.get(one.backend, 0)))
        return Weighed(ranking, chosen, now_on is not None, candidates)

    def _later_on(self, ranking: Ranking) -> str | None:
        """Return where it will go as it seems, when no backend has room now."""
        likely = [one for one in ranking.standings if one.is_ready] or list(ranking.standings)
        if not likely:
            return None
        rooms = self._dispatcher.rooms
        best = likely[0] if ranking.ordered else max(likely, key=lambda one: rooms.free(one.backend.name).cpus)
        return best.backend.name

    def _start(self, spec: JobSpec, weighed: Weighed, owner: str) -> tuple[Start, str]:
        if weighed.chosen is None:
            first = weighed.candidates[0] if weighed.candidates else None
            why = f"{first.field}: {first.reason}" if first else "this site has no backend"
            return Start.NEVER, f"no backend can hold it; {why}"
        name, why = weighed.chosen, weighed.ranking.why
        if held := self._held_up(spec, weighed, owner):
            return Start.LATER, f"{held}; then it goes to {name} as things stand: {why}"
        if not weighed.at_once:
            return Start.LATER, f"it waits until {name} has room: {weighed.candidates[0].reason}"
        if not weighed.candidates[0].ready:
            return Start.NOW, f"it goes to {name} and queues there: {weighed.candidates[0].reason}"
        return Start.NOW, f"it goes to {name}: {why}"

    def _held_up(self, spec: JobSpec, weighed: Weighed, owner: str) -> str:
        if spec.hold:
            return "it is held until it is released"
        if spec.after:
            return "it waits for the end of others"
        if spec.start_at and spec.start_at > now():
            return "its moment has not come"
        if limit := self._dispatcher.limit_on(_key_of(spec, weighed.ranking, owner), _demand_of(spec)):
            return f"its {limit} runs as many as are allowed at a time"
        return "others wait before it" if self._dispatcher.anybody_waits else ""


class _Teller:
    """Finds the words for one backend."""

    def __init__(
        self, placer: Placer, spec: JobSpec, ranking: Ranking, inputs: Iterable[FrozenInput], chosen: str | None
    ) -> None:
        self._placer = placer
        self._spec = spec
        self._ranking = ranking
        self._size = sum(item.size for item in inputs)
        self._best = next((one for one in ranking.standings if one.backend.name == chosen), None)

    def candidate(self, verdict: Verdict, *, ready: bool) -> Candidate:
        standing = verdict.standing
        is_best = self._best is not None and standing.backend.name == self._best.backend.name
        field, reason = _why_never(verdict.refusal) if verdict.refusal else ("", self._why(standing, ready=ready))
        return Candidate(
            backend=standing.backend.name,
            fits=verdict.refusal is None,
            ready=ready,
            chosen=is_best,
            field=field,
            reason=reason,
            cost=price_of(self._spec, standing.facts) if standing.facts.cost else None,
            bytes_to_move=bytes_to_move(standing.facts, self._placer.settings, self._size),
        )

    def _why(self, standing: Standing, *, ready: bool) -> str:
        if standing.drain is not None:
            said = f" ({standing.drain.message})" if standing.drain.message else ""
            return f"it is drained by {standing.drain.by}{said}: it gets no new work"
        if standing.trouble:
            return f"it does not answer: {standing.trouble}"
        if not ready:
            free = max(0.0, standing.capacity.cpus_free) if standing.capacity else 0.0
            return f"it has no room at present: {free:g} cores free"
        assert self._best is not None  # one that is ready is there to be chosen
        return self._ranking.why if standing is self._best else self._why_not(standing, self._best)

    def _why_not(self, standing: Standing, best: Standing) -> str:
        name = best.backend.name
        if not self._ranking.ordered:
            return f"{name} has more free cores"
        if self._ranking.order is PlacementOrder.CHEAPEST:
            dearer, price = price_of(self._spec, standing.facts), price_of(self._spec, best.facts)
            return f"it costs {dearer:g}, {name} {price:g}"
        if self._ranking.order is PlacementOrder.NEAREST:
            more = bytes_to_move(standing.facts, self._placer.settings, self._size)
            return f"{more} bytes would be moved there, to {name} fewer"
        return f"{name} comes before it"


def _why_never(refusal: InvalidError) -> tuple[str, str]:
    first = refusal.errors[0]
    return first.field, first.message


def _key_of(spec: JobSpec, ranking: Ranking, owner: str) -> LaneKey:
    return LaneKey(owner, spec.project or "", spec.priority, ranking.names, ranking.ordered)


def _demand_of(spec: JobSpec) -> Demand:
    said = spec.model_dump(mode="json", include={"resources", "array"})
    return demand_of(said["resources"], said["array"], len(spec.array.tasks) if spec.array else 1)
