"""Who goes next, as figures: priority, fairness, aging, and that nobody is forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.queue.books import Books, Charge, Pace
from services.scheduler.queue.demand import NOTHING, Demand, demand_of
from services.scheduler.queue.lanes import WINDOW, Entry, Lane, LaneKey, Lanes, effective_priority, rank
from services.scheduler.queue.position import place_of
from services.scheduler.queue.room import ahead_of
from services.scheduler.settings import QueueSettings

AGING = 60.0


def _lane(owner: str = "ada", priority: int = 0, *, since: float = 0.0, served: float = 0.0, seq: int = 1) -> Lane:
    entry = Entry(seq, f"job-{seq}", since, Demand(), {})
    return Lane(LaneKey(owner, "", priority, ("local",)), [entry], served=served)


def _first(*lanes: Lane, now: float = 0.0, **shares: float) -> Lane:
    return min(lanes, key=lambda lane: rank(lane, share=shares.get(lane.key.owner, 0.0), now=now, aging=AGING))


def test_a_higher_priority_goes_first_however_much_its_owner_has() -> None:
    low, high = _lane("bob", 0), _lane("ada", 1, seq=2)
    assert _first(low, high, ada=0.9) is high


def test_of_equal_priority_who_has_least_goes_first() -> None:
    ada, bob = _lane("ada"), _lane("bob", seq=2)
    assert _first(ada, bob, ada=0.5, bob=0.25) is bob


def test_of_equals_who_was_served_least_recently_goes_first_and_then_who_came_first() -> None:
    assert _first(_lane("ada", served=2.0), late := _lane("bob", served=1.0, seq=2), now=3.0) is late
    assert _first(early := _lane("ada"), _lane("bob", seq=2)) is early


def test_who_is_passed_over_counts_more_with_time_and_less_again_once_served() -> None:
    high = _lane("ada", 10, served=1000.0)
    assert _first(high, _lane("bob", 0, since=1000.0 - 9 * AGING, seq=2), now=1000.0) is high
    passed_over = _lane("bob", 0, since=1000.0 - 11 * AGING, seq=2)
    assert _first(high, passed_over, now=1000.0) is passed_over
    passed_over.served = 1000.0
    assert _first(high, passed_over, now=1000.0) is high


@settings(deadline=None)
@given(st.integers(-100, 100), st.floats(0, 1e7), st.floats(0, 1e7))
def test_priority_grows_with_waiting_and_never_shrinks(priority: int, waited: float, more: float) -> None:
    assert priority <= effective_priority(priority, waited, AGING)
    assert effective_priority(priority, waited, AGING) <= effective_priority(priority, waited + more, AGING)


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(-2, 2)), st.none(), min_size=2))
def test_every_lane_is_served_although_each_has_work_without_end(lanes: dict[tuple[str, int], None]) -> None:
    """With a place each second, no lane waits longer than its distance in priority takes, times those beside it."""
    queue = [_lane(owner, priority, seq=seq) for seq, (owner, priority) in enumerate(sorted(lanes), 1)]
    had: Counter[str] = Counter()
    longest = int((4 + 2) * AGING + len(queue) * 2)
    served: dict[LaneKey, float] = {}
    for second in range(2 * longest):
        lane = _first(*queue, now=float(second), **{owner: float(had[owner]) for owner in "abc"})
        lane.served = served[lane.key] = float(second)
        had[lane.key.owner] += 1
        had = Counter({owner: max(0, count - (second % 3 == 0)) for owner, count in had.items()})
    assert set(served) == {lane.key for lane in queue}
    assert min(served.values()) >= 2 * longest - 1 - longest


@settings(deadline=None)
@given(st.lists(st.sampled_from(["ada", "bob", "eve"]), min_size=1, max_size=60))
def test_users_with_equal_wishes_get_equally_much(owners: list[str]) -> None:
    """Whoever came how often: of what has gone, nobody has more than one above another who still waits."""
    left = Counter(owners)
    lanes = {owner: _lane(owner, seq=seq) for seq, owner in enumerate(left, 1)}
    got: Counter[str] = Counter()
    for second in range(len(owners)):
        moment = second / len(owners)
        lane = _first(*(lanes[owner] for owner in left if left[owner]), now=moment, **got)
        lane.served = moment
        got[lane.key.owner] += 1
        left[lane.key.owner] -= 1
        assert all(got[lane.key.owner] - got[owner] <= 1 for owner in left if left[owner])


@settings(deadline=None)
@given(st.permutations(range(1, 3 * WINDOW)), st.integers(1, 3 * WINDOW - 1))
def test_a_lane_keeps_its_first_in_order_and_knows_that_there_are_more(seqs: list[int], removed: int) -> None:
    lane = Lane(LaneKey("ada", "", 0, ("local",)))
    for seq in seqs:
        lane.add(Entry(seq, f"job-{seq}", 0.0, Demand(), {}))
    kept = [entry.seq for entry in lane.window]
    assert kept == list(range(1, WINDOW + 1))
    assert lane.more
    lane.remove(f"job-{removed}")
    assert [entry.seq for entry in lane.window] == [seq for seq in kept if seq != removed]


def test_a_lane_that_is_empty_is_forgotten() -> None:
    lanes, key = Lanes(), LaneKey("ada", "", 0, ("local",))
    lanes.open(key).add(Entry(1, "job", 0.0, Demand(), {}))
    assert lanes
    lanes.remove(key, "job")
    assert not lanes


_CHARGES = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from(["charge", "start", "discharge"]),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from(["local", "far"]),
        st.integers(1, 4),
    )
)


@settings(deadline=None)
@given(_CHARGES)
def test_the_books_always_hold_what_the_charges_come_to(steps: list[tuple[str, str, str, str, int]]) -> None:
    books, known = Books(), dict[str, Charge]()
    for job, act, owner, backend, cpus in steps:
        if act == "charge":
            known[job] = Charge(owner, "p", backend, Demand(1, float(cpus), cpus, cpus))
            books.charge(job, known[job])
        elif act == "discharge":
            books.discharge(job)
            known.pop(job, None)
        else:
            news = books.start(job)
            assert (news is not None) == (job in known and not known[job].started)
            if job in known:
                old = known[job]
                known[job] = Charge(old.owner, old.project, old.backend, old.demand, started=True)
    for owner in ("ada", "bob"):
        assert books.of_owner(owner) == _sum(charge for charge in known.values() if charge.owner == owner)
    for backend in ("local", "far"):
        there = [charge for charge in known.values() if charge.backend == backend]
        assert books.of_backend(backend) == _sum(there)
        assert books.unstarted(backend) == sum(not charge.started for charge in there)
    assert books.of_project("p") == _sum(known.values())


def _sum(charges: Iterable[Charge]) -> Demand:
    total = NOTHING
    for charge in charges:
        total = total.plus(charge.demand)
    return total


def test_room_is_counted_in_every_thing() -> None:
    room = Demand(0, 4.0, 100, 1)
    assert Demand(1, 0.1 + 0.2 + 3.7, 100, 1).fits_into(room)
    assert not Demand(1, 4.1, 0, 0).fits_into(room)
    assert not Demand(1, 1.0, 101, 0).fits_into(room)
    assert not Demand(1, 1.0, 0, 2).fits_into(room)
    assert Demand(1, 1.0, 50, 1).share_of(room) == 1.0
    assert Demand(1, 1.0, 50, 0).share_of(NOTHING) == 1.0


def test_a_demand_is_what_all_processes_want_together() -> None:
    wanted = {"processes": 3, "cpus": 0.5, "memory": None, "gpus": {"count": 2}}
    assert demand_of(wanted) == Demand(1, 1.5, 0, 6)
    assert demand_of({**wanted, "memory": 10}).memory == 30


@pytest.mark.parametrize(("pace", "ahead"), [(0.0, 1), (0.4, 1), (2.0, 4), (100.0, 200)])
def test_a_backend_is_given_as_much_ahead_as_it_starts_in_a_moment(pace: float, ahead: int) -> None:
    assert ahead_of(pace, QueueSettings(ahead=2.0, at_least=1)) == ahead


def test_the_pace_is_that_of_the_last_second() -> None:
    clock = iter([0.0, 0.5, 0.9, 1.4, 9.0])
    pace = Pace(lambda: next(clock))
    for _ in range(3):
        pace.note("local")
    assert pace.per_second("local") == 2.0
    assert pace.per_second("local") == 0.0
    assert pace.per_second("other") == 0.0


def test_the_place_counts_those_before_and_a_turn_of_each_other_owner() -> None:
    mine = LaneKey("ada", "", 0, ("local",))
    others = [
        (mine, 9),
        (LaneKey("bob", "", 5, ("local",)), 3),
        (LaneKey("bob", "", 0, ("local",)), 50),
        (LaneKey("eve", "", 0, ("local", "far")), 1),
        (LaneKey("eve", "", 9, ("far",)), 70),
        (LaneKey("bob", "", -1, ("local",)), 70),
    ]
    assert place_of(mine, 4, others) == 1 + 4 + 3 + 4 + 1
    assert place_of(mine, 0, []) == 1
