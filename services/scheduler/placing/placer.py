"""Where jobs may run and where they go: constraints, then the policy of the project, then who is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.errors import InvalidError, RefusedError, UnavailableError
from contracts.placements import PlacementOrder
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from services.scheduler.backends.base import Backend
from services.scheduler.backends.registry import Backends, Standing

from .constraints import refusal_of
from .ranking import Ranking, ranking_of
from .settings import PlacementPolicy, PlacementSettings

__all__ = ["NoTakerError", "Placer", "Verdict"]

_NOWHERE: Sequence[str] = ()
_MOST_ROUNDS = 10
"""After so many the time for which a job may lie in a queue doubles no more."""


class NoTakerError(UnavailableError):
    """No backend that can hold a job takes new work at present."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a backend can hold a job, and if not, why."""

    standing: Standing
    refusal: InvalidError | None = None


class Placer:
    """Decides by what is configured now; both the backends and the policies may change."""

    def __init__(self, backends: Backends, settings: PlacementSettings | None = None) -> None:
        self.backends = backends
        self.settings = settings or PlacementSettings()

    # --- before a job goes ----------------------------------------------------------------------------------------

    async def require_possible(self, spec: JobSpec, inputs: Iterable[FrozenInput] = ()) -> Ranking:
        """Return the backends that can hold a job, the best liked first.

        Refuses a job that none ever could, naming the field that speaks against the first.
        """
        self._require_known(spec)
        excluded = {name: self._exclusion(spec, name) for name in self.backends.names}
        # The others are not asked for their room: this is done for each submit.
        asked = [self.backends.require(name) for name, refusal in excluded.items() if refusal is None]
        standings = [await self.backends.standing(backend) for backend in asked]
        policy = self._policy(spec)
        verdicts = [Verdict(standing, refusal_of(spec, standing, policy)) for standing in standings]
        if any(verdict.refusal is None for verdict in verdicts):
            return self.rank(spec, verdicts, inputs)
        told = [verdict.refusal for verdict in verdicts] or [excluded[name] for name in spec.placement.named]
        refusals = [refusal for refusal in [*told, *excluded.values()] if refusal]
        raise next(iter(refusals), InvalidError.of("placement", "this site has no backend"))

    async def weigh(self, spec: JobSpec) -> list[Verdict]:
        """Say of every backend whether it can hold a job; raises `InvalidError` for a name that there is not."""
        self._require_known(spec)
        return [self._verdict(spec, standing) for standing in await self.backends.standings()]

    def _require_known(self, spec: JobSpec) -> None:
        for place, name in enumerate(spec.placement.named):
            if name not in self.backends.names:
                field = f"placement.backends.{place}" if spec.placement.backends else "placement.backend"
                raise InvalidError.of(field, f"there is no {name!r}; there are: {', '.join(self.backends.names)}")

    def rank(self, spec: JobSpec, verdicts: Iterable[Verdict], inputs: Iterable[FrozenInput]) -> Ranking:
        """Bring those that can hold a job into the order in which they are tried."""
        possible = [verdict.standing for verdict in verdicts if verdict.refusal is None]
        size = sum(item.size for item in inputs)
        return ranking_of(spec, possible, self._policy(spec), self.settings, size)

    def rank_anew(self, spec: JobSpec, ranking: Ranking, inputs: Iterable[FrozenInput]) -> Ranking:
        """Do the same for those that were found to be able, now that its inputs are known."""
        size = sum(item.size for item in inputs)
        return ranking_of(spec, ranking.standings, self._policy(spec), self.settings, size) if size else ranking

    def patience(self, spec: JobSpec, rounds: int = 0) -> float | None:
        """Return the seconds for which a job may lie in the queue of a backend that is not the only one for it.

        It doubles with each of the *rounds* in which that backend did not begin with it: who has been everywhere is
        tried everywhere again, and all the same does not go to and fro for ever.
        """
        span = spec.placement.patience
        if span is None and not spec.placement.named:
            span = self._policy(spec).patience
        return None if span is None else span.total_seconds() * 2 ** min(rounds, _MOST_ROUNDS)

    def _policy(self, spec: JobSpec) -> PlacementPolicy:
        return self.settings.policy_of(spec.project)

    def _verdict(self, spec: JobSpec, standing: Standing) -> Verdict:
        excluded = self._exclusion(spec, standing.backend.name)
        return Verdict(standing, excluded or refusal_of(spec, standing, self._policy(spec)))

    def _exclusion(self, spec: JobSpec, name: str) -> InvalidError | None:
        """Return why a backend does not come into question, whatever it could hold."""
        policy = self._policy(spec)
        if refusal := _by_rights(spec, name, policy):
            return refusal
        if named := spec.placement.named:
            told = f"the job asks for {', '.join(named)} by name"
            return None if name in named else InvalidError.of("placement.backend", told)
        if policy.backends and name not in policy.backends:
            told = f"the site has such jobs go to {', '.join(policy.backends)} unless they name another"
            return InvalidError.of("placement.backend", told)
        if self.backends.require(name).on_request and name not in policy.backends:
            return InvalidError.of("placement.backend", f"{name!r} takes only jobs that name it")
        return None

    # --- an attempt -----------------------------------------------------------------------------------------------

    async def choose(
        self,
        spec: JobSpec,
        inputs: Iterable[FrozenInput] = (),
        *,
        tried: Sequence[str] = _NOWHERE,
        refused: Sequence[str] = _NOWHERE,
    ) -> Backend | None:
        """Return where an attempt goes; None if all that *refused* it were all that there are.

        Those that it was taken back from least often, each time in *tried*, come first. Raises `NoTakerError` while
        all are draining.
        """
        ranking = await self.require_possible(spec, inputs)
        possible = [one for one in ranking.standings if one.backend.name not in refused]
        if not possible:
            return None
        taking = _least_tried([one for one in possible if one.drain is None], tried)
        if not taking:
            names = ", ".join(one.backend.name for one in possible)
            raise NoTakerError(f"no backend that can hold it takes new work at present: {names}")
        if ranking.ordered:
            return next((one for one in taking if one.is_ready), taking[0]).backend
        return max(taking, key=_free).backend

    async def others(
        self, spec: JobSpec, name: str, inputs: Iterable[FrozenInput] = (), *, not_on: Sequence[str] = _NOWHERE
    ) -> list[str]:
        """Return the other backends that can hold a job; nobody is asked where there can be none."""
        if len(self.backends.names) < 2 or spec.placement.backend:
            return []
        try:
            ranking = await self.require_possible(spec, inputs)
        except RefusedError:
            return []
        return [other for other in ranking.names if other != name and other not in not_on]

    async def next_after(
        self,
        spec: JobSpec,
        name: str,
        inputs: Iterable[FrozenInput] = (),
        *,
        tried: Sequence[str] = _NOWHERE,
        refused: Sequence[str] = _NOWHERE,
    ) -> Backend | None:
        """Return who takes an attempt that was not begun on a backend: of the least tried the first that takes work."""
        ranking = await self.require_possible(spec, inputs)
        others = [one for one in ranking.standings if one.backend.name not in {name, *refused}]
        ready = _least_tried([one for one in others if one.is_ready], tried)
        if not ready:
            return None
        return ready[0].backend if ranking.ordered else max(ready, key=_free).backend


def _least_tried(standings: Sequence[Standing], tried: Sequence[str]) -> list[Standing]:
    """Return those from which a job was taken back least often."""
    times = Counter(tried)
    least = min((times[one.backend.name] for one in standings), default=0)
    return [one for one in standings if times[one.backend.name] == least]


def _by_rights(spec: JobSpec, name: str, policy: PlacementPolicy) -> InvalidError | None:
    pinned = policy.order is PlacementOrder.PINNED and name not in policy.backends
    if name in policy.denied or pinned or (policy.allowed is not None and name not in policy.allowed):
        who = f"the project {spec.project}" if spec.project else "jobs without a project"
        allowed = policy.backends if pinned else policy.allowed
        instead = f"; allowed: {', '.join(allowed)}" if allowed else ""
        return InvalidError.of("placement.backend", f"the site lets {who} not go to {name!r}{instead}")
    return None


def _free(standing: Standing) -> float:
    return -1.0 if standing.trouble or standing.capacity is None else standing.capacity.cpus_free
