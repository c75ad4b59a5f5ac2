"""What a rollout does to printers, portals, queues and services stops it, though its devices are all well."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import Engine
from tests.controller.rollouts.rolling import QUICK, Province
from tests.controller.web import places

from annexfleet_controller import state
from annexfleet_controller.rollouts.beside import falls
from annexfleet_controller.store import gather
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.readiness import Stood
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.store.tables.alerts import AlertRow
from annexfleet_controller.store.tables.readiness import ReadinessSpan
from annexfleet_controller.waves.blaming import READINESS
from annexfleet_controller.waves.model import Selector

CANARY = structs.replace(QUICK, canary_count=2, canary_soak_s=1800.0)
ANNEXES = [f"berkane-{n}" for n in range(1, 7)]


@pytest.fixture
def province(sqlite_engine: Engine, tmp_path: Path) -> Province:
    made = Province(tmp_path, sqlite_engine)
    for place in ANNEXES:
        numbers = made.annex(place, 4)
        with writing(sqlite_engine) as db:
            for number in numbers:
                printer = places.Printed("guichet", address=f"ipp://{place}/print")
                places.printers(db, number, [printer], at=made.clock.at)
                places.part(db, number, "portal", {"portal:watiqa": {"portal_up": 1}}, at=made.clock.at)
                places.queue(db, number, "residence", waiting=0, at=made.clock.at)
    return made


def soaking(province: Province) -> tuple[int, list[str]]:
    """A rollout to half of the annexes whose canary has ended well, and the annexes of that."""
    id_ = province.started(policy=CANARY, selector=Selector(annexes=tuple(ANNEXES[:3])))
    for _ in range(30):
        province.turn(60)
        province.play()
        if province.detail(id_).phase == "soaking":
            break
    changed = [row for row in province.targets(id_).values() if row.state == "succeeded"]
    assert len(changed) == 2
    return id_, sorted({row.annex_id for row in changed})


def thing_of(province: Province, annex_id: str, kind: str) -> str:
    if kind == "annex":
        return annex_id
    if kind != "printer":
        return f"{annex_id}/{'watiqa' if kind == 'portal' else 'residence'}"
    with reading(province.engine) as db:
        views = gather.views(db, None, now=province.clock.at, listening_since=province.clock.at)
    view = next(view for view in views.values() if view.annex_id == annex_id)
    return state.printer_identity(annex_id, view.id, view.printers[0])


def alert(province: Province, annex_id: str, rule: str, kind: str, *, cause: str = "", suppressed_by: str = "") -> None:
    at = province.clock.at
    with writing(province.engine) as db:
        db.add(
            AlertRow(
                rule_id=rule, thing_kind=kind, thing_id=thing_of(province, annex_id, kind), annex_id=annex_id,
                state="open", severity="critical", cause=cause, since=at, evidence_at=at, samples=1, opened_at=at,
                suppressed_by=suppressed_by,
            )
        )  # fmt: skip


def falls_to(province: Province, annex_id: str, standing: str, *, cause: str) -> None:
    """Its service was ready until now."""
    at = province.clock.at
    with writing(province.engine) as db:
        common = {"annex_id": annex_id, "service": "residence"}
        db.add(ReadinessSpan(state="ready", since=at - timedelta(days=1), until=at, reason="[]", **common))
        reason = json.dumps([{"capability": "print", "causes": [cause]}])
        db.add(ReadinessSpan(state=standing, since=at, reason=reason, **common))


def rolled(province: Province, id_: int) -> Detail:
    """What has become of it at last, in long strides."""
    for _ in range(80):
        province.turn(240)
        province.play()
        found = province.detail(id_)
        if found.state != "running":
            return found
    return province.detail(id_)


def stays_with_its_canary(province: Province, id_: int) -> list[str]:
    """It ends stopped, and nothing but the canary was touched; the rules that it names."""
    found = rolled(province, id_)
    assert (found.state, found.state_reason, found.wave) == ("stopped", "gate", 1)
    assert sum(row.attempts for row in province.targets(id_).values()) == 2
    assert found.gate is not None
    return [str(reason.facts.get("rule")) for reason in found.gate.reasons]


@pytest.mark.parametrize(
    ("rule", "kind"),
    [("printer.blocked", "printer"), ("portal.down_local", "portal"), ("queue.stalled", "queue")],
)
def test_alerts_of_what_changed_devices_see_stop_it(province: Province, rule: str, kind: str):
    id_, annexes = soaking(province)
    province.turn(60)
    for annex_id in annexes:
        alert(province, annex_id, rule, kind)

    assert rule in stays_with_its_canary(province, id_)


def test_a_service_that_is_ready_no_more_stops_it(province: Province):
    id_, annexes = soaking(province)
    province.turn(60)
    for annex_id in annexes:
        falls_to(province, annex_id, "degraded", cause="queue_paused")

    assert READINESS in stays_with_its_canary(province, id_)


def test_a_printer_that_nobody_tells_of_any_more_is_no_excuse(province: Province):
    """The release made agents tell of no printer, and the alert is as it was."""
    id_, annexes = soaking(province)
    province.turn(60)
    for annex_id in annexes:
        alert(province, annex_id, "printer.offline", "printer")
    with writing(province.engine) as db:
        for number in range(1, province.count + 1):
            places.printers(db, number, [], at=province.clock.at)

    assert "printer.offline" in stays_with_its_canary(province, id_)


def test_what_every_annex_has_is_nobodys_fault(province: Province):
    id_, _ = soaking(province)
    province.turn(60)
    for annex_id in ANNEXES:
        alert(province, annex_id, "portal.down_local", "portal")
        falls_to(province, annex_id, "blocked", cause="portal_down")

    found = rolled(province, id_)
    assert found.state == "done", found.gate and [(reason.code, reason.facts) for reason in found.gate.reasons]


def test_a_power_cut_stops_nothing(province: Province):
    """Of the annexes with changed devices; all in them kept their batteries, but printers and services went."""
    id_, annexes = soaking(province)
    province.turn(60)
    for annex_id in annexes:
        alert(province, annex_id, "annex.power_cut", "annex")
        alert(province, annex_id, "printer.offline", "printer", suppressed_by="annex.power_cut")
        alert(province, annex_id, "portal.down_local", "portal")
        falls_to(province, annex_id, "blocked", cause="power_cut")

    found = rolled(province, id_)
    assert found.state == "done", found.gate and [(reason.code, reason.facts) for reason in found.gate.reasons]


def test_toner_that_runs_out_is_no_sign(province: Province):
    id_, annexes = soaking(province)
    for annex_id in annexes:
        alert(province, annex_id, "printer.supply_empty", "printer", cause="supply_empty")
        falls_to(province, annex_id, "degraded", cause="toner_empty")

    found = rolled(province, id_)
    assert found.state == "done", found.gate and [(reason.code, reason.facts) for reason in found.gate.reasons]


def test_a_night_of_which_nobody_knows_hides_no_fall(province: Province):
    at, hour = province.clock.at, timedelta(hours=1)

    def stood(standing: str, since: float, until: float | None, *causes: str) -> Stood:
        end = None if until is None else at + until * hour
        return Stood("residence", standing, at + since * hour, end, frozenset(causes))  # type: ignore[arg-type]

    evening, night = stood("ready", -9, -1), stood("unknown", -1, 12)
    (fell,) = falls("a", [evening, night, stood("blocked", 12, None, "queue_paused")])
    assert (fell.since, fell.over_at, fell.severity) == (at + 12 * hour, None, "critical")
    bad = stood("degraded", -9, -1, "queue_paused")
    (known,) = falls("a", [bad, night, stood("degraded", 12, None, "queue_paused")])
    assert known.since < at - 9 * hour
    (over,) = falls("a", [evening, stood("degraded", 0, 2, "unreachable"), stood("ready", 2, None)])
    assert over.over_at == at + 2 * hour
    assert not list(falls("a", [evening, stood("blocked", 0, None, "device_offline", "line_cut")]))
