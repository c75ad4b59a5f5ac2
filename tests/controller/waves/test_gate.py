from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from annexfleet_controller.waves import gate
from annexfleet_controller.waves.gate import Results, Soak, judge
from annexfleet_controller.waves.model import GateVerdict, Health, Policy

NOW = datetime(2026, 10, 6, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=5)
DONE = Soak(began_at=NOW - timedelta(hours=4), due_at=NOW - timedelta(seconds=1))
LONG_DONE = Soak(began_at=NOW - timedelta(hours=12), due_at=NOW - timedelta(hours=7))
ROLLING = Soak()
POLICY = Policy()


def device(number: int, *, changed: bool = False, **more: object) -> Health:
    given = {"annex_id": f"annex-{number % 30}", "model": "M1", "role": "counter", "since": SINCE, "is_online": True}
    return Health(number=number, is_changed=changed, **(given | more))  # type: ignore[arg-type]


def fleet(changed: Iterable[Health], others: int = 100) -> list[Health]:
    return [*changed, *(device(number) for number in range(1000, 1000 + others))]


def sound(count: int, start: int = 1) -> list[Health]:
    return [device(number, changed=True) for number in range(start, start + count)]


def verdict(health: list[Health], soak: Soak = DONE, results: Results | None = None, **more: object) -> GateVerdict:
    if results is None:
        results = Results(succeeded=frozenset(one.number for one in health if one.is_changed))
    return judge(results, health, policy=Policy(**more), wave=1, soak=soak, now=NOW)  # type: ignore[arg-type]


def after(hours: float, health: list[Health], soak: Soak, results: Results | None = None) -> GateVerdict:
    """The verdict now, where so many hours ago all was as it is now."""
    results = results or Results(succeeded=frozenset(one.number for one in health if one.is_changed))
    before = judge(results, health, policy=POLICY, wave=1, soak=soak, now=NOW - timedelta(hours=hours))
    return judge(results, health, policy=POLICY, wave=1, soak=soak, now=NOW, before=before)


def codes(of: GateVerdict) -> list[str]:
    return [reason.code for reason in of.reasons]


def test_a_sound_wave_that_has_soaked_goes_on():
    found = verdict(fleet(sound(10)))

    assert (found.word, codes(found)) == ("go", ["well"])
    assert found.reasons[0].facts == {"changed": 10, "others": 100}


def test_before_it_has_soaked_it_waits():
    until = NOW + timedelta(minutes=5)

    assert codes(verdict(fleet(sound(10)), ROLLING)) == ["rolling"]
    found = verdict(fleet(sound(10)), Soak(began_at=NOW, due_at=until))
    assert (found.word, codes(found), found.look_again_at) == ("wait", ["soaking"], until)


@pytest.mark.parametrize(
    ("bad", "succeeded", "word"),
    [
        (0, 10, "go"),
        (2, 0, "stop"),
        (2, 38, "stop"),  # 5 %
        (2, 60, "go"),  # less than 5 %, and more likely than not truly less
        (1, 14, "wait"),  # too few to tell
        (1, 99, "go"),
    ],
)
def test_an_absolute_number_and_a_share(bad: int, succeeded: int, word: str):
    results = Results(succeeded=frozenset(range(1, succeeded + 1)), bad={500 + n: "failed" for n in range(bad)})

    assert verdict(fleet(sound(max(1, succeeded))), results=results).word == word


@pytest.mark.parametrize("state", ["failed", "timed_out", "unknown"])
def test_each_way_to_end_badly_counts_and_the_wave_need_not_be_over(state: str):
    results = Results(succeeded=frozenset({1}), bad={2: state, 3: state}, under_way=10)  # type: ignore[dict-item]

    found = verdict(fleet(sound(3)), ROLLING, results)

    assert (found.word, codes(found)) == ("stop", ["bad_results"])


def test_a_model_that_always_fails_does_not_drown():
    changed = [*sound(200), *(device(n, changed=True, model="M2") for n in range(501, 506))]
    results = Results(succeeded=frozenset(range(1, 201)), bad=dict.fromkeys(range(501, 506), "failed"))

    found = verdict(fleet(changed), results=results)

    assert (found.word, codes(found)) == ("stop", ["bad_of_kind"])
    assert found.reasons[0].facts == {"kind": "model", "value": "M2", "bad": 5, "ended": 5}


def test_one_of_its_kind_that_failed_is_no_go():
    changed = [*sound(30), device(99, changed=True, model="M2")]
    results = Results(succeeded=frozenset(range(1, 31)), bad={99: "failed"})

    assert "kind_unclear" in codes(verdict(fleet(changed), results=results))
    assert codes(after(2, fleet(changed), LONG_DONE, results))[0] == "still_unclear"


@pytest.mark.parametrize(
    "sign",
    [{"is_online": False}, {"new_alerts": {"disk_full": "warning"}}, {"restarts": 5}],
    ids=["offline", "alert", "restarting"],
)
def test_a_sign_that_only_changed_devices_show_is_a_proof(sign: dict[str, object]):
    changed = [*sound(6), *(device(n, changed=True, **sign) for n in range(50, 56))]

    for soak in (ROLLING, DONE):
        found = verdict(fleet(changed), soak)
        assert found.word == "stop"
        assert "now_worse" in codes(found)


def test_a_sign_on_a_single_device_is_waited_for_and_not_for_ever():
    changed = [*sound(14), device(50, changed=True, is_online=False)]

    assert codes(verdict(fleet(changed))) == ["now_unclear"]
    found = after(2, fleet(changed), LONG_DONE)
    assert (found.word, codes(found)) == ("stop", ["still_unclear", "now_unclear"])


def test_a_doubt_that_arises_late_is_no_stop_before_it_has_lasted():
    """Six hours are over, and just now a line fails: it may come back."""
    changed = fleet([*sound(14), device(50, changed=True, is_online=False)])

    fresh = verdict(changed, LONG_DONE)
    assert (fresh.word, codes(fresh), fresh.look_again_at) == ("wait", ["now_unclear"], NOW + timedelta(hours=2))
    assert after(1.9, changed, LONG_DONE).word == "wait"
    assert after(2, changed, LONG_DONE).word == "stop"


def test_a_doubt_that_lasted_through_the_soak_need_not_last_once_more():
    changed = fleet([*sound(14), device(50, changed=True, is_online=False)])
    soaked = Soak(began_at=NOW - timedelta(hours=12), due_at=NOW)

    assert after(5.9, changed, soaked).word == "wait"
    assert codes(after(6, changed, soaked)) == ["still_unclear", "now_unclear"]


def test_another_doubt_begins_anew_and_an_old_one_goes_on():
    results, offline = Results(succeeded=frozenset({1})), device(50, changed=True, is_online=False)
    alert = device(51, changed=True, new_alerts={"disk.low": "warning"})

    def told(*ailing: Health, hours: float, before: GateVerdict | None) -> GateVerdict:
        at = NOW - timedelta(hours=hours)
        health = fleet([*sound(14), *ailing])
        return judge(results, health, policy=POLICY, wave=1, soak=LONG_DONE, now=at, before=before)

    first = told(offline, hours=1.9, before=None)
    other = told(alert, hours=1, before=first)
    assert told(alert, hours=0, before=other).word == "wait"
    both = told(offline, alert, hours=1, before=first)
    assert told(offline, alert, hours=-0.1, before=both).word == "stop"


def test_a_sign_that_others_show_as_well_is_ordinary():
    alert = {"new_alerts": {"printer_jam": "warning"}}
    others = [device(n, **alert) if n % 10 == 0 else device(n) for n in range(1000, 1100)]
    changed = [*sound(14), device(50, changed=True, **alert)]

    assert verdict([*changed, *others]).word == "go"


def test_an_alert_that_has_cleared_and_a_single_restart_are_no_ground():
    changed = [
        *sound(13),
        device(50, changed=True, new_alerts={"printer_jam": "warning"}, over=("printer_jam",)),
        device(51, changed=True, restarts=1),
    ]

    assert verdict(fleet(changed)).word == "go"


def test_many_restarts_are_a_ground_though_each_device_had_one():
    changed = [*sound(4), *(device(n, changed=True, restarts=1) for n in range(50, 58))]

    assert codes(verdict(fleet(changed, 60)))[0] == "since_worse"


@pytest.mark.parametrize(("further", "of_others", "word"), [(0, 3, "go"), (1, 3, "stop"), (0, 2, "stop")])
def test_a_doubt_about_what_is_over_lapses_if_waiting_adds_nothing_to_it(further: int, of_others: int, word: str):
    def health(restarted: int) -> list[Health]:
        began = {"since": NOW - timedelta(hours=10)}
        others = (device(n, restarts=1 if n < 1000 + of_others else 0, **began) for n in range(1000, 1131))
        return [*(device(n, changed=True, restarts=1 if n <= restarted else 0, **began) for n in range(1, 15)), *others]

    results = Results(succeeded=frozenset(range(1, 15)))

    def told(restarted: int, hours: float, before: GateVerdict | None) -> GateVerdict:
        at = NOW - timedelta(hours=hours)
        return judge(results, health(restarted), policy=POLICY, wave=1, soak=DONE, now=at, before=before)

    doubt = told(3, 7, None)
    assert (doubt.word, codes(doubt)) == ("wait", ["soaking", "since_unclear"])
    waits = told(3 + further, 2, doubt)
    assert waits.word == "wait"
    assert codes(told(3 + further, 0, waits)) == (
        ["well", "since_unclear"] if word == "go" else ["still_unclear", "since_unclear"]
    )


def test_a_power_cut_is_the_annexs_and_what_cannot_be_watched_is_not_called_well():
    dark = [device(n, annex_id="dark", is_online=False) for n in (900, 901, 902)]
    one = device(50, changed=True, annex_id="dark", is_online=False)

    assert verdict([*fleet(sound(5)), *dark, one]).word == "go"
    alone = verdict([*fleet([]), *dark, one], results=Results(succeeded=frozenset({50})))
    assert (alone.word, codes(alone)) == ("wait", ["not_watched"])


def test_what_is_switched_off_in_order_is_waited_for_without_end():
    off = [device(n, changed=True, is_online=None) for n in range(1, 6)]

    assert codes(verdict(fleet(off), LONG_DONE)) == ["not_watched"]


def test_what_was_not_well_before_proves_nothing():
    changed = [*sound(5), *(device(n, changed=True, was_well=False, is_online=False) for n in (50, 51, 52, 53))]

    assert verdict(fleet(changed)).word == "go"


def test_one_model_alone_is_found_among_many_that_are_sound():
    others = [*(device(n) for n in range(1000, 1150)), *(device(n, model="M2") for n in range(1200, 1240))]
    ordinary = [device(n, is_online=False) for n in range(1150, 1153)]
    changed = [*sound(40), *(device(n, changed=True, model="M2", is_online=False) for n in range(50, 54))]

    found = verdict([*changed, *others, *ordinary])

    assert found.word == "stop"
    assert (found.reasons[0].facts["kind"], found.reasons[0].facts["value"]) == ("model", "M2")


def readings(number: int, *, memory: float, an_hour: float = 0.0, changed: bool = False) -> Health:
    wobble = (number * 37 % 11 - 5) / 1000
    return device(
        number, changed=changed, readings={"memory_used_ratio": (0.4, 0.4 + memory + wobble)},
        slopes={"memory_used_ratio": an_hour + wobble / 5},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("memory", "an_hour", "expected"),
    [
        (0.0, 0.0, ("go", "well")),
        (0.03, 0.0, ("go", "well")),  # it needs a little more
        (0.2, 0.0, ("stop", "reading_worse")),
        (0.04, 0.02, ("stop", "reading_grows")),
        (0.02, 0.006, ("wait", "reading_unclear")),
    ],
)
def test_readings_that_jump_or_grow(memory: float, an_hour: float, expected: tuple[str, str]):
    changed = [readings(n, memory=memory, an_hour=an_hour, changed=True) for n in range(1, 16)]

    found = verdict([*changed, *(readings(n, memory=0.0) for n in range(1000, 1100))])

    assert (found.word, found.reasons[0].code) == expected


def test_the_time_of_day_is_nobodys_fault():
    changed = [readings(n, memory=0.3, an_hour=0.1, changed=True) for n in range(1, 16)]

    assert verdict([*changed, *(readings(n, memory=0.3, an_hour=0.1) for n in range(1000, 1100))]).word == "go"


def test_nothing_to_compare_with_and_a_sign_is_no_go():
    changed = [*sound(3), device(50, changed=True, is_online=False)]

    assert codes(verdict(changed)) == ["now_unclear"]


def test_a_few_of_very_many_are_no_more_than_the_policy_minds():
    changed = [*sound(400), device(500, changed=True, is_online=False)]

    assert verdict(changed).word == "go"


def test_a_verdict_that_moves_only_in_its_measures_says_the_same():
    first = verdict(fleet([*sound(14), device(50, changed=True, is_online=False)]))
    second = verdict(fleet([*sound(20), device(50, changed=True, is_online=False)]))

    assert gate.says_the_same(second, first)
    assert not gate.says_the_same(verdict(fleet(sound(20))), first)
    assert not gate.says_the_same(first, None)


def test_every_reason_is_a_known_code():
    assert len(set(gate.REASONS)) == len(gate.REASONS)


def test_what_is_waited_for_after_a_doubt_does_not_move_on_with_each_look():
    """The doubt went shortly before the soak was over."""
    results, health = Results(succeeded=frozenset(range(1, 15))), fleet(sound(14))
    soak = Soak(began_at=NOW - timedelta(hours=4), due_at=NOW)

    def told(before: GateVerdict | None, now: datetime) -> GateVerdict:
        return judge(results, health, policy=POLICY, wave=1, soak=soak, now=now, before=before)

    kept = told(None, NOW - timedelta(minutes=3))
    assert codes(kept) == ["soaking"]
    for second in range(0, 7 * 60, 2):
        found = told(kept, NOW + timedelta(seconds=second))
        assert codes(found) == ["clearing"]
        kept = kept if gate.says_the_same(found, kept) else found

    assert told(kept, NOW + timedelta(minutes=7)).word == "go"


def test_a_doubt_that_has_just_gone_may_come_back():
    later = NOW + timedelta(minutes=9)
    doubt = verdict(fleet([*sound(14), device(50, changed=True, is_online=False)]))
    results = Results(succeeded=frozenset(range(1, 15)))

    def told(before: GateVerdict, now: datetime) -> GateVerdict:
        return judge(results, fleet(sound(14)), policy=POLICY, wave=1, soak=DONE, now=now, before=before)

    clearing = told(doubt, NOW)
    assert (clearing.word, codes(clearing), clearing.look_again_at) == (
        "wait",
        ["clearing"],
        NOW + timedelta(minutes=10),
    )
    assert gate.says_the_same(told(clearing, later), clearing)
    assert told(clearing, later + timedelta(minutes=1)).word == "go"


def test_a_limit_of_ten_minutes_is_told_as_ten():
    changed = fleet([*sound(14), device(50, changed=True, is_online=False)])
    policy = structs.replace(POLICY, longest_wait_s=600.0)
    results = Results(succeeded=frozenset(one.number for one in changed if one.is_changed))
    before = judge(results, changed, policy=policy, wave=1, soak=LONG_DONE, now=NOW - timedelta(hours=1))
    found = judge(results, changed, policy=policy, wave=1, soak=LONG_DONE, now=NOW, before=before)
    assert 3600 * float(found.reasons[0].facts["hours"]) == pytest.approx(600)
