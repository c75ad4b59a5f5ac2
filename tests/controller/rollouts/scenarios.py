"""Stories of rollouts that together pass every transition there is (`waves.machine.POINTS`)."""

from collections.abc import Callable
from datetime import timedelta

from msgspec import structs
from sqlalchemy import update
from tests.controller.rollouts.crashing import Fragile
from tests.controller.rollouts.rolling import BRAHIM, QUICK

from annexfleet_controller.rollouts import proposing
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.devices import Device

Story = Callable[[Fragile], dict[int, dict[int, str]]]
"""Tells it; gives how the devices of each rollout stand in the end."""

DAY = 86400.0
SPARING = structs.replace(QUICK, most_bad_count=100)
"""A gate that a few failures do not stop."""


def started(of: Fragile, **over: object) -> int:
    id_ = of.province.draft(**over)
    of.act(proposing.submit, id_, home=True)
    if of.province.detail(id_).state == "submitted":
        of.act(proposing.approve, id_, asker=BRAHIM, home=True)
    of.act(proposing.start, id_, home=True)
    return id_


def ended(of: Fragile, *ids: int) -> Callable[[], bool]:
    return lambda: all(of.province.detail(id_).ended_at is not None for id_ in ids)


def in_state(of: Fragile, id_: int, *wanted: str) -> Callable[[], bool]:
    return lambda: of.province.detail(id_).state in wanted


def has(of: Fragile, id_: int, number: int, *wanted: str) -> Callable[[], bool]:
    return lambda: of.province.states(id_)[number] in wanted


def told(of: Fragile, *ids: int) -> dict[int, dict[int, str]]:
    return {id_: of.province.states(id_) for id_ in ids}


def papers(of: Fragile) -> dict[int, dict[int, str]]:
    """Submitted, rejected, withdrawn, approved, withdrawn; and aborted at each desk."""
    of.province.annex("berkane-1", 2)
    id_ = of.province.draft()
    of.act(proposing.submit, id_, home=True)
    of.act(proposing.reject, id_, asker=BRAHIM, reason="Not this week")
    of.act(proposing.submit, id_, home=True)
    of.act(proposing.withdraw, id_)
    of.act(proposing.submit, id_, home=True)
    of.act(proposing.approve, id_, asker=BRAHIM, home=True)
    of.act(proposing.withdraw, id_)
    of.act(proposing.abort, id_, reason="No")
    submitted, approved = of.province.draft(), of.province.draft()
    of.act(proposing.submit, submitted, home=True)
    of.act(proposing.abort, submitted, reason="No")
    of.act(proposing.submit, approved, home=True)
    of.act(proposing.approve, approved, asker=BRAHIM, home=True)
    of.act(proposing.abort, approved, reason="No")
    assert of.province.detail(id_).state == of.province.detail(approved).state == "aborted"
    return told(of, id_, submitted, approved)


def a_good_night(of: Fragile) -> dict[int, dict[int, str]]:
    """Devices that are there, away and back, updated by somebody else meanwhile; paused and resumed in between."""
    first = of.province.annex("berkane-1", 2)
    second = of.province.annex("berkane-2", 4)
    id_ = started(of)
    canary = next(n for n, row in of.province.targets(id_).items() if row.wave == 1)
    rest = [n for n in (*first, *second) if n != canary]
    away, updated_away, updated = rest[0], rest[1], rest[2]
    of.province.go([away, updated_away])
    of.province.hear([updated], agent_version="2.0")
    of.until(has(of, id_, canary, "succeeded"))
    of.act(proposing.pause, id_)
    of.turn(60)
    of.act(proposing.resume, id_)
    of.until(has(of, id_, away, "deferred"))
    of.until(has(of, id_, updated, "compliant"))
    of.turn(600)
    of.province.hear([updated_away], agent_version="2.0")
    of.province.come([away, updated_away])
    of.until(ended(of, id_))
    return told(of, id_)


def a_bad_release(of: Fragile) -> dict[int, dict[int, str]]:
    """The gate stops it; a person lets it go on, it stops again, and is aborted."""
    of.province.annex("berkane-1", 6)
    of.province.annex("berkane-2", 6)
    id_ = started(of, policy=structs.replace(QUICK, canary_count=2))
    of.until(in_state(of, id_, "stopped"), outcome="failed")
    of.act(proposing.resume, id_, reason="Known, and mended")
    of.until(in_state(of, id_, "stopped"), outcome="failed")
    of.act(proposing.abort, id_, reason="No use")
    of.until(ended(of, id_), outcome="failed")
    other = started(of)
    of.until(lambda: of.province.detail(other).phase == "rolling")
    of.act(proposing.pause, other)
    of.act(proposing.abort, other, reason="Enough")
    of.until(ended(of, other))
    third = started(of)
    of.act(proposing.abort, third, reason="Enough")
    of.until(ended(of, third))
    return told(of, id_, other, third)


def too_late(of: Fragile) -> dict[int, dict[int, str]]:
    """The deadline finds devices away, half reached, never begun; another has left service."""
    of.province.annex("berkane-1", 4)
    of.province.annex("berkane-2", 2)
    id_ = started(of, policy=structs.replace(SPARING, canary_count=4), deadline_s=DAY / 4)
    gone = next(n for n, row in of.province.targets(id_).items() if row.wave == 1)
    of.province.go([gone])
    of.until(lambda: "deferred" in of.province.states(id_).values(), outcome="unreachable")
    of.until(
        lambda: sum(row.reason == "unreachable" for row in of.province.targets(id_).values()) >= 2,
        outcome="unreachable",
    )
    with writing(of.province.engine) as db:
        db.execute(update(Device).where(Device.number == gone).values(revoked_at=of.province.clock.at))
    of.until(ended(of, id_), outcome="unreachable", seconds=1800)
    return told(of, id_)


def nobody_knows(of: Fragile) -> dict[int, dict[int, str]]:
    """Runs that time out, are lost, never come to a device; devices that say nothing, and turn up after all."""
    numbers = of.province.annex("berkane-1", 6)
    id_ = started(of, policy=structs.replace(SPARING, canary_count=6, most_at_once=20, canary_soak_s=3 * 3600.0))
    how = dict(zip(numbers, ("changed", "timed_out", "unknown", "failed", "skipped", "skipped"), strict=True))

    def outcome(number: int) -> str:
        return how[number]

    def play() -> None:
        of.province.play(outcome, version="1.0")

    def all_but_last() -> bool:
        found = of.province.states(id_)
        return sum(state in {"failed", "timed_out", "unknown", "skipped"} for state in found.values()) >= 5

    for _ in range(400):
        if all_but_last():
            break
        of.turn(60)
        play()
    assert all_but_last(), of.province.states(id_)
    # They had what was wanted, and say so only now.
    of.province.hear(numbers[:3], agent_version="2.0")
    of.until(lambda: [of.province.states(id_)[n] for n in numbers[:3]] == ["succeeded"] * 3)
    of.until(in_state(of, id_, "stopped"), seconds=1800)  # one that failed is too many among so few
    of.act(proposing.abort, id_, reason="Enough")
    return told(of, id_)


def replaced(of: Fragile) -> dict[int, dict[int, str]]:
    """A newer rollout of the same takes the place of older ones: one runs, one is paused, one was stopped."""
    of.province.annex("berkane-1", 5)
    of.province.annex("berkane-2", 5)
    running = started(of, variables={"shift_version": "1.1"})
    of.province.clock.at += timedelta(seconds=1)
    paused = started(of)
    of.act(proposing.pause, paused)
    of.until(in_state(of, running, "superseded"), plays=False)
    of.province.clock.at += timedelta(seconds=1)
    newer = started(of, variables={"shift_version": "2.1"}, policy=structs.replace(QUICK, canary_count=2))
    of.until(in_state(of, paused, "superseded"), plays=False)
    of.until(in_state(of, newer, "stopped"), outcome="failed")
    of.province.clock.at += timedelta(seconds=1)
    last = started(of, variables={"shift_version": "2.2"})
    of.act(proposing.pause, last)
    of.until(in_state(of, newer, "superseded"), plays=False)
    of.act(proposing.abort, last, reason="Enough")
    of.until(ended(of, running, paused, newer, last))
    return told(of, running, paused, newer, last)


def to_the_end_all_the_same(of: Fragile) -> dict[int, dict[int, str]]:
    """Paused in its last wave it ends by itself; paused, and yet stopped by what ran; stopped until the deadline."""
    of.province.annex("berkane-1", 3)
    first = started(of, policy=structs.replace(QUICK, canary_count=3))
    of.until(lambda: of.province.detail(first).phase == "soaking")
    of.act(proposing.pause, first)
    of.until(ended(of, first))
    of.province.hear([1, 2, 3], agent_version="1.0")
    second = started(of, policy=structs.replace(QUICK, canary_count=3), deadline_s=DAY / 4)
    of.until(lambda: "running" in of.province.states(second).values(), plays=False)
    of.province.take()
    of.act(proposing.pause, second)
    of.until(in_state(of, second, "stopped"), outcome="failed")
    of.until(ended(of, second), outcome="failed", seconds=1800)
    return told(of, first, second)


def an_empty_wave(of: Fragile) -> dict[int, dict[int, str]]:
    """The canary had it already when its turn came: nothing to soak."""
    of.province.annex("berkane-1", 2)
    of.province.annex("berkane-2", 2)
    id_ = started(of)
    canary = next(n for n, row in of.province.targets(id_).items() if row.wave == 1)
    of.province.hear([canary], agent_version="2.0")
    of.until(ended(of, id_))
    return told(of, id_)


def stragglers_alone(of: Fragile) -> dict[int, dict[int, str]]:
    """One of the canary was away; the last wave had it already when its turn came, and the one comes back after all."""
    of.province.annex("berkane-1", 2)
    of.province.annex("berkane-2", 2)
    id_ = started(of, policy=structs.replace(QUICK, canary_count=2))
    wave = {number: row.wave for number, row in of.province.targets(id_).items()}
    away = next(number for number in wave if wave[number] == 1)
    of.province.go([away])
    of.province.hear([number for number in wave if wave[number] > 1], agent_version="2.0")
    of.until(lambda: of.province.detail(id_).wave > 1 and of.province.detail(id_).phase == "")
    of.province.come([away])
    of.until(ended(of, id_))
    return told(of, id_)


STORIES: dict[str, Story] = {
    story.__name__: story
    for story in (
        papers, a_good_night, a_bad_release, too_late, nobody_knows, replaced, to_the_end_all_the_same, an_empty_wave,
        stragglers_alone,
    )
}  # fmt: skip
