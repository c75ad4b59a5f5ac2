"""For which device a fault counts that is no device's own."""

from datetime import UTC, datetime, timedelta

from annexfleet_controller.waves.blaming import READINESS, Cut, Fault, Standing, counted

AT = datetime(2026, 11, 24, 20, tzinfo=UTC)


def hours(count: float) -> datetime:
    return AT + timedelta(hours=count)


def device(since: float = 0, *, annex: str = "a", changed: bool = True) -> Standing:
    ended = hours(since + (0.1 if changed else 0))
    return Standing(annex_id=annex, since=hours(since), settled_at=ended, is_changed=changed)


def fault(since: float, over: float | None = None, *, seen_by: set[int] | None = None, **of: str) -> Fault:
    given = {"annex_id": "a", "rule": "printer.blocked", "thing": "p1", "severity": "warning"} | of
    return Fault(
        since=hours(since), over_at=None if over is None else hours(over), seen_by=frozenset(seen_by or ()), **given
    )


def numbers(faults: list[Fault], devices: dict[int, Standing], **more: object) -> dict[int, int]:
    found = counted(faults, devices, **({"cuts": {}} | more))  # type: ignore[arg-type]
    return {number: len(of) for number, of in found.items()}


def test_it_counts_once_for_the_changed_device_that_was_last_before_it():
    devices = {1: device(0), 2: device(1), 3: device(3)}

    assert numbers([fault(2)], devices) == {2: 1}
    assert numbers([fault(2, seen_by={1})], devices) == {1: 1}
    assert numbers([fault(2, seen_by={9})], devices) == {}
    assert numbers([fault(-1)], devices) == {}


def test_many_printers_of_one_annex_by_one_rule_are_one_sign():
    devices = {1: device(0), 2: device(0.5)}
    faults = [fault(1, thing="p1", seen_by={1}), fault(1.1, thing="p2", seen_by={2}), fault(2, thing="p3")]

    assert numbers(faults, devices) == {1: 3}


def test_it_counts_for_every_untouched_device_that_sees_it():
    devices = {1: device(0), 2: device(0, changed=False), 3: device(0, changed=False), 4: device(0, changed=False)}

    assert numbers([fault(1, seen_by={1, 2, 3})], devices) == {1: 1, 2: 1, 3: 1}


def test_what_was_wrong_with_the_thing_before_is_nothing_new():
    before = fault(-1, 1)

    assert numbers([before, fault(2)], {1: device()}) == {}
    assert numbers([before, fault(2)], {1: device(changed=False)}) == {}
    assert numbers([before, fault(2, thing="p2")], {1: device()}) == {1: 1}


def test_what_began_with_its_run_counts_if_it_outlasts_it():
    assert numbers([fault(0.05)], {1: device()}) == {1: 1}
    assert numbers([fault(0.05, 0.08)], {1: device()}) == {}


def test_a_service_is_compared_with_those_of_annexes_that_are_not_touched():
    fell = fault(1, rule=READINESS, thing="residence")
    others = {1: device(), 2: device(changed=False), 3: device(annex="b", changed=False)}
    elsewhere = fault(1, rule=READINESS, thing="residence", annex_id="b")

    assert numbers([fell, elsewhere], others) == {1: 1, 3: 1}
    assert numbers([fell, elsewhere], others, touched_annexes={"b"}) == {1: 1}
    later = {3: device(annex="b", changed=False), 4: device(1.5, annex="b")}
    assert numbers([elsewhere], later) == {3: 1}  # it fell before anything was changed there


def test_what_begins_while_the_annex_is_cut_off_is_nobodys():
    cuts = {"a": [Cut(hours(1), hours(2))]}
    found = [fault(at, rule=READINESS) for at in (0.5, 0.9, 1.5, 2.4, 2.6)]

    assert [bool(numbers([one], {1: device()}, cuts=cuts)) for one in found] == [True, False, False, False, True]
    assert not numbers([found[-1]], {1: device()}, cuts={"a": [Cut(hours(1), None)]})
