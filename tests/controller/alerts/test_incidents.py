from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.controller.alerts.trouble import Book, alert, at

from annexfleet_controller.alerts.causes import fixes_of, fixes_text
from annexfleet_controller.alerts.incidents import Context, group
from annexfleet_controller.readiness.model import Fix
from annexfleet_controller.things import Alert, Thing, ThingKind

PRINTER = "3f" * 12


def power(annex_id: str = "a-1", **fields: Any) -> Alert:
    return alert("annex.power_cut", "annex", annex_id, annex_id, severity="critical", cause="power_cut", **fields)


def line(annex_id: str = "a-1", **fields: Any) -> Alert:
    return alert("annex.link_down", "annex", annex_id, annex_id, severity="critical", cause="line_cut", **fields)


def offline(number: int = 1, annex_id: str = "a-1", **fields: Any) -> Alert:
    return alert("device.offline", "device", f"d-{annex_id}-{number}", annex_id, cause="device_offline", **fields)


def blocked(printer: str = PRINTER, **fields: Any) -> Alert:
    return alert("printer.blocked", "printer", printer, **{"cause": "paper_jam", **fields})


def portal(annex_id: str = "a-1", rule: str = "portal.down_local", **fields: Any) -> Alert:
    return alert(rule, "portal", f"{annex_id}/watiqa", annex_id, cause="portal_down", **fields)


def everywhere(**fields: Any) -> Alert:
    return alert("portal.down_global", "portal", "*/watiqa", "", cause="portal_down_everywhere", **fields)


def cannot_serve(annex_id: str = "a-1", fixes: str = "", **fields: Any) -> Alert:
    told = {"fixes": fixes} if fixes else {}
    return alert("annex.cannot_serve", "annex", annex_id, annex_id, severity="critical", facts=told, **fields)


# -- one alert, one incident


@pytest.mark.parametrize(
    ("rule", "kind", "thing", "key", "incident_kind"),
    [
        ("annex.power_cut", "annex", "a-1", "power_cut:a-1", "power_cut"),
        ("annex.link_down", "annex", "a-1", "line_cut:a-1", "line_cut"),
        ("annex.cannot_serve", "annex", "a-1", "annex:a-1", "annex"),
        ("portal.down_local", "portal", "a-1/watiqa", "portal_down:a-1/watiqa", "portal_down"),
        ("portal.down_global", "portal", "*/watiqa", "portal_down_everywhere:watiqa", "portal_down_everywhere"),
        ("portal.slow", "portal", "a-1/watiqa", "portal:a-1/watiqa", "portal"),
        ("portal.tls", "portal", "a-1/watiqa", "portal:*/watiqa", "portal"),
        ("printer.supply_low", "printer", PRINTER, f"printer:{PRINTER}", "printer"),
        ("disk.low", "device", "d-1", "device:d-1", "device"),
        ("queue.long", "queue", "a-1/passport", "queue:a-1/passport", "queue"),
        ("broker.down", "controller", "controller", "controller:controller", "controller"),
    ],
)
def test_what_an_alert_makes_alone(rule: str, kind: ThingKind, thing: str, key: str, incident_kind: str):
    book = Book()

    assert book.story([alert(rule, kind, thing)], 1) == [("opened", key)]
    (incident,) = book.rows.values()
    assert (incident.kind, incident.began_at, incident.opened_at) == (incident_kind, at(0), at(1))


def test_what_is_about_to_be_and_what_is_over_make_no_incident():
    gone = structs.replace(offline(), state="cleared", cleared_at=at(1))

    found = group([structs.replace(offline(2), state="pending"), gone], [], Context(), now=at(2))

    assert (found.incidents, found.assignments, found.events) == ((), {}, ())


def test_a_certificate_that_runs_out_is_one_incident_however_many_annexes_see_it():
    book = Book()

    book.group([portal(annex, "portal.tls") for annex in ("a-1", "a-2", "a-3")], 1)

    (incident,) = book.rows.values()
    assert (incident.annex_id, incident.annexes) == ("", ("a-1", "a-2", "a-3"))


def test_an_incident_is_as_severe_as_its_worst_alert():
    book = Book()

    book.group([alert("cpu.high", "device", "d-1", severity="info")], 1)
    assert book.open()["device:d-1"].severity == "info"
    book.group([alert("cpu.high", "device", "d-1", severity="info"), alert("disk.low", "device", "d-1")], 2)
    assert book.open()["device:d-1"].severity == "warning"


def test_an_incident_is_muted_if_all_of_it_is():
    book = Book()

    book.group([offline(muted_by=3), alert("disk.low", "device", "d-a-1-1", muted_by=3)], 1)
    assert book.open()["device:d-a-1-1"].muted
    book.group([offline(muted_by=3), alert("disk.low", "device", "d-a-1-1")], 2)
    assert not book.open()["device:d-a-1-1"].muted


# -- causes and effects

_NAMED = fixes_text([Fix("paper_jam", Thing("printer", PRINTER))])
_PORTAL_NAMED = "portal_down@portal:a-1/watiqa"
_EVERYTHING = [
    offline(1), offline(2), portal(), cannot_serve(), alert("queue.silent", "queue", "a-1/passport"),
    alert("printer.offline", "printer", PRINTER), alert("annex.degraded", "annex", "a-1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ([power(), line(), *_EVERYTHING], "power_cut:a-1"),
        ([line(), *_EVERYTHING], "line_cut:a-1"),
        ([power(), blocked(cause="unreachable"), alert("battery.low", "device", "d-1")], "power_cut:a-1"),
        ([everywhere(), portal("a-1"), portal("a-2"), portal("a-3")], "portal_down_everywhere:watiqa"),
        ([everywhere(), portal(), cannot_serve(fixes=_PORTAL_NAMED)], "portal_down_everywhere:watiqa"),
        ([portal(), cannot_serve(fixes=_PORTAL_NAMED)], "portal_down:a-1/watiqa"),
        ([blocked(), alert("print.queue_depth", "printer", PRINTER), cannot_serve(fixes=_NAMED)], f"printer:{PRINTER}"),
        ([blocked(), alert("queue.long", "queue", "a-1/passport", facts={"fixes": _NAMED})], f"printer:{PRINTER}"),
        ([offline(), cannot_serve(fixes="device_offline@device:d-a-1-1")], "device:d-a-1-1"),
    ],
)  # fmt: skip
def test_effects_are_listed_under_their_cause(alerts: list[Alert], expected: str):
    book = Book()

    found = book.group(alerts, 10)

    assert list(book.open()) == [expected]
    causes = [key for key, where in found.assignments.items() if not where.is_effect]
    assert causes == [alerts[0].key]
    assert {where.suppressed_by for where in found.assignments.values()} == {"", alerts[0].rule_id}


@pytest.mark.parametrize(
    ("cause", "other", "kinds"),
    [
        (line(), offline(annex_id="a-2"), {"line_cut", "device"}),
        (line(since=60), offline(since=0), {"line_cut", "device"}),  # was off an hour before
        (power(), blocked(), {"power_cut", "printer"}),  # a jam needs no power cut
        (line(), alert("disk.low", "device", "d-1"), {"line_cut", "device"}),
        (everywhere(), alert("portal.down_local", "portal", "a-1/cnss"), {"portal_down_everywhere", "portal_down"}),
        (blocked(), cannot_serve(fixes="paper_jam@printer:" + "00" * 12), {"printer", "annex"}),
        (blocked(since=60), cannot_serve(fixes=_NAMED, since=0), {"printer", "annex"}),
        (blocked(), alert("queue.long", "queue", "a-1/passport"), {"printer", "queue"}),
    ],
)
def test_what_a_cause_does_not_explain_stands_beside_it(cause: Alert, other: Alert, kinds: set[str]):
    book = Book()

    book.group([cause, other], 90)

    assert {incident.kind for incident in book.open().values()} == kinds


def test_a_printer_hangs_on_the_only_devices_that_see_it():
    seen_by = (Thing("device", "d-a-1-1"), Thing("device", "d-a-1-2"))
    unreachable = alert("printer.offline", "printer", PRINTER, since=9)
    book = Book(hangs_on={unreachable.thing: seen_by})

    book.group([offline(1), unreachable], 10)
    assert set(book.open()) == {"device:d-a-1-1", f"printer:{PRINTER}"}
    book.group([offline(1), offline(2, since=8), unreachable], 11)
    assert set(book.open()) == {"device:d-a-1-1", "device:d-a-1-2"}
    book.group([line(), offline(1), offline(2, since=8), unreachable], 12)
    assert set(book.open()) == {"line_cut:a-1"}


def test_a_rule_explains_what_it_mutes():
    flapping, low = alert("device.flapping", "device", "d-a-1-1"), alert("disk.low", "device", "d-a-1-9")
    book = Book(mutes={"device.flapping": ("device.offline",), "annex.link_down": ("disk.low",)})

    found = book.group([flapping, offline(1)], 1)
    assert found.assignments[offline(1).key].suppressed_by == "device.flapping"
    found = book.group([line(), low], 2)
    assert found.assignments[low.key].suppressed_by == "annex.link_down"


def test_rules_that_mute_each_other_still_have_a_first_cause():
    book = Book(mutes={"cpu.high": ("mem.high",), "mem.high": ("disk.low",), "disk.low": ("cpu.high",)})

    found = book.group([alert(rule, "device", "d-1") for rule in ("cpu.high", "mem.high", "disk.low")], 1)

    assert sum(not where.is_effect for where in found.assignments.values()) == 1


# -- over time


def test_a_line_cut_that_was_a_power_cut_goes_on_as_that():
    book = Book()
    book.group([line(since=1), offline(since=1)], 4)
    (row_id,) = book.rows
    book.rows[row_id] = structs.replace(book.rows[row_id], acknowledged_by="salma")

    assert book.story([power(), line(since=1), offline(since=1)], 6) == [("cause_corrected", "power_cut:a-1")]
    assert list(book.rows) == [row_id]
    assert (book.rows[row_id].kind, book.rows[row_id].began_at) == ("power_cut", at(0))
    assert book.rows[row_id].acknowledged_by == "salma"


def test_an_annex_that_could_not_serve_goes_on_as_what_it_was():
    book = Book()
    serves_not = cannot_serve(fixes=_NAMED, since=1)

    assert book.story([serves_not], 4) == [("opened", "annex:a-1")]
    assert book.story([serves_not, blocked()], 6) == [("cause_corrected", f"printer:{PRINTER}")]


def test_an_incident_that_was_an_effect_is_taken_in():
    book = Book()
    book.group([offline(1), offline(2), portal()], 4)

    story = book.story([line(), offline(1), offline(2), portal()], 6)

    assert sorted(story) == [
        ("opened", "line_cut:a-1"), ("resolved", "device:d-a-1-1"), ("resolved", "device:d-a-1-2"),
        ("resolved", "portal_down:a-1/watiqa"),
    ]  # fmt: skip
    assert {row.facts.get("merged_into") for row in book.rows.values()} == {None, "line_cut:a-1"}


def test_effects_outlast_their_cause_for_half_an_hour():
    book = Book()
    book.group([line(), offline()], 4)

    assert book.story([offline()], 20) == []
    assert book.open()["line_cut:a-1"].ended_at == at(20)
    assert book.story([offline(), offline(2, since=3)], 22) == [], "it had begun before the line was back"
    assert sorted(book.story([offline()], 51)) == [("opened", "device:d-a-1-1"), ("resolved", "line_cut:a-1")]
    assert "merged_into" not in book.rows[1].facts


def test_it_ends_when_its_cause_began_to_clear_and_is_resolved_when_all_has_cleared():
    book = Book()
    book.group([line()], 4)
    book.group([line(clearing_since=at(30))], 31)

    assert book.story([], 33) == [("resolved", "line_cut:a-1")]
    assert (book.rows[1].ended_at, book.rows[1].resolved_at) == (at(30), at(33))


@pytest.mark.parametrize(("minutes", "expected"), [(12, "reopened"), (15, "opened")])
def test_what_is_back_within_ten_minutes_is_the_same_incident(minutes: float, expected: str):
    book = Book()
    book.group([blocked()], 2)
    book.group([], 4)

    assert book.story([blocked(since=minutes)], minutes) == [(expected, f"printer:{PRINTER}")]
    assert len(book.rows) == (1 if expected == "reopened" else 2)


# -- whatever comes

_ALERTS = st.lists(
    st.one_of(
        st.builds(power, st.sampled_from(["a-1", "a-2"]), since=st.sampled_from([0, 10, 30])),
        st.builds(line, st.sampled_from(["a-1", "a-2"]), since=st.sampled_from([0, 10, 30])),
        st.builds(offline, st.integers(1, 3), st.sampled_from(["a-1", "a-2"]), since=st.sampled_from([0, 10, 30])),
        st.builds(portal, st.sampled_from(["a-1", "a-2"]), st.sampled_from(["portal.down_local", "portal.slow"])),
        st.builds(everywhere), st.builds(blocked, since=st.sampled_from([0, 10])),
        st.builds(cannot_serve, st.sampled_from(["a-1", "a-2"]), st.sampled_from(["", _NAMED, ",@:,", "x@printer:"])),
    ),
    max_size=12,
)  # fmt: skip


@given(courses=st.lists(st.tuples(st.sampled_from([1, 5, 12, 31]), _ALERTS), max_size=6))
def test_every_open_alert_has_one_incident_that_is_open(courses: list[tuple[int, list[Alert]]]):
    book, minutes = Book(mutes={"portal.down_local": ("portal.slow",)}), 30
    for step, alerts in courses:
        minutes += step
        found = book.group(alerts, minutes)  # keeps, and groups again: nothing may change

        assert set(found.assignments) == {one.key for one in alerts}
        assert {where.incident_key for where in found.assignments.values()} == set(book.open())
        for where in found.assignments.values():
            assert where.is_effect == bool(where.suppressed_by) or where.is_effect


def test_repairs_are_read_as_they_are_written():
    fixes = [Fix("paper_empty", Thing("printer", PRINTER)), Fix("portal_down", Thing("portal", "a-1/watiqa"))]

    assert fixes_of({"fixes": fixes_text(fixes)}) == tuple((fix.cause, fix.thing) for fix in fixes)
    assert fixes_of({"fixes": "paper_empty@moon:1,@printer:2,x@printer,paper_empty"}) == ()
    assert fixes_of({}) == ()


# -- the storm


def test_five_thousand_alerts_in_a_minute_are_one_incident_per_cause():
    annexes = [f"a-{number}" for number in range(20)]
    storm: list[Alert] = [everywhere()]
    for place, annex_id in enumerate(annexes):
        if place < 10:
            storm.append(line(annex_id))
        storm += [offline(number, annex_id, since=1) for number in range(15) if place < 10]
        storm += [portal(annex_id, since=1), cannot_serve(annex_id, f"portal_down@portal:{annex_id}/watiqa", since=2)]
        jammed = f"{place:024x}"
        if place >= 10:
            storm += [
                alert("printer.blocked", "printer", jammed, annex_id, part=str(part), cause="paper_jam")
                for part in range(235)
            ]
            storm += [
                alert("print.queue_depth", "printer", jammed, annex_id, part=str(part), since=1) for part in range(240)
            ]
    assert len(storm) > 4900
    book = Book()

    found = book.group(storm, 3)

    assert sorted(book.open()) == sorted(
        [
            "portal_down_everywhere:watiqa",
            *(f"line_cut:a-{n}" for n in range(10)),
            *(f"printer:{n:024x}" for n in range(10, 20)),
        ]
    )
    assert len(found.assignments) == len(storm)
    assert [one.kind for one in found.events].count("opened") == 21


def test_a_degraded_annex_belongs_to_what_only_degrades_it():
    slower = alert("annex.degraded", "annex", "a-1", "a-1", facts={"fixes": "", "lacks": _NAMED})
    book = Book()

    book.story([blocked(), slower], 1)

    assert [incident.key for incident in book.rows.values()] == [f"printer:{PRINTER}"]


def test_machines_that_start_again_in_a_line_cut_belong_to_it():
    book = Book()

    book.story([line(), alert("reboot.unexpected", "device", "d-1", "a-1")], 1)

    assert [incident.key for incident in book.rows.values()] == ["line_cut:a-1"]
