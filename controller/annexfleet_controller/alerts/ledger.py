"""What is wrong now: the alerts and incidents that live, stepped by verdicts, and written in one transaction.

`Ledger` remembers what the database holds; it is read from there at the beginning, and whenever writing failed.  What
people write (acknowledgements, notes) it reads and never overwrites.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime

from msgspec import Struct, structs
from sqlalchemy.orm import Session

from annexfleet_controller.alerts import incidents as grouping
from annexfleet_controller.alerts import lifecycle
from annexfleet_controller.alerts.causes import AlertKey, Context
from annexfleet_controller.alerts.judging import Judged
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.maintenance import Maintenance, mute
from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.store import alerts as alerts_store
from annexfleet_controller.store import incidents as incidents_store
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.things import Alert, Facts, Incident, Thing, Verdict

log = logging.getLogger(__name__)

MOST_OPENED = 1000
"""Alerts that may open in an annex in a day about what its devices have names for: printers, portals, disks."""
_REMEMBERED = max(lifecycle.RETURNS_WITHIN, grouping.RETURNS_WITHIN)


class Stepped(Struct, frozen=True):
    """What a round of verdicts did to alerts."""

    before: dict[AlertKey, Alert]
    """Those that changed, as they were."""
    after: dict[AlertKey, Alert | None]
    """The same as they are; None: it never opened and is forgotten."""


class Ledger:
    """Alerts and incidents as they stand."""

    def __init__(self, live: Iterable[Alert], cleared: Iterable[Alert], incidents: Iterable[Incident]) -> None:
        self._live: dict[AlertKey, Alert] = {}
        self._of_annex: dict[str, set[AlertKey]] = {}
        self._cleared: dict[AlertKey, Alert] = {}
        self._opened: Counter[str] = Counter()
        self._opened_on: date | None = None
        self.incidents: dict[int, Incident] = {incident.id: incident for incident in incidents}
        """Open ones, and those resolved so lately that they may come back."""
        for alert in live:
            self._put(alert)
        for alert in cleared:
            self._cleared[alert.key] = alert

    @classmethod
    def read(cls, db: Session, *, now: datetime) -> "Ledger":
        """As the database has it."""
        since = now - _REMEMBERED
        resolved = incidents_store.resolved_since(db, since)
        live = (
            # What a clock that was ahead has stamped would count as newer than anything told from now on.
            structs.replace(alert, evidence_at=now) if alert.evidence_at > now else alert
            for alert in alerts_store.live(db)
        )
        return cls(live, alerts_store.cleared_since(db, since), [*incidents_store.open_ones(db), *resolved])

    # -- what is asked of it

    @property
    def live(self) -> Collection[Alert]:
        return self._live.values()

    @property
    def is_any_muted(self) -> bool:
        return any(alert.muted_by is not None for alert in self._live.values())

    @property
    def annexes(self) -> set[str]:
        """The annexes of which an alert lives."""
        return {annex_id for annex_id, keys in self._of_annex.items() if annex_id and keys}

    def standing(self) -> frozenset[tuple[Thing, str]]:
        """Things and parts of which an alert is not cleared, or only just."""
        return frozenset((alert.thing, alert.part) for of in (self._live, self._cleared) for alert in of.values())

    def open_alert(self, rule_id: str, thing: Thing) -> Alert | None:
        """The open alert of this rule about this thing."""
        alert = self._live.get((rule_id, thing, ""))
        return alert if alert is not None and alert.state == "open" else None

    def portals_down_everywhere(self) -> frozenset[str]:
        """Names of portals of which an alert says that they fail in the whole province."""
        return frozenset(
            alert.thing.id.removeprefix("*/")
            for alert in self._live.values()
            if alert.rule_id == "portal.down_global" and alert.state == "open"
        )

    def ripening(self) -> set[str]:
        """Annexes with an alert that is about to open or to clear."""
        return {
            alert.annex_id
            for alert in self._live.values()
            if alert.state == "pending" or alert.clearing_since is not None
        }

    # -- stepping

    def step(
        self,
        verdicts: Iterable[Verdict],
        judged: Mapping[str, Judged],
        *,
        rules: Ruleset,
        calendars: Mapping[str, Calendar],
        province: Calendar,
        roles: Mapping[int, str],
        now: datetime,
    ) -> Stepped:
        """Step alerts by what was concluded of these annexes; nothing is written yet, and nothing remembered."""
        after: dict[AlertKey, Alert | None] = {}
        told: set[AlertKey] = set()
        for verdict in verdicts:
            key = (verdict.rule_id, verdict.thing, verdict.part)
            told.add(key)
            rule = rules.rule(verdict.rule_id, verdict.annex_id)
            role = roles.get(verdict.numbers[0], "") if len(verdict.numbers) == 1 else ""
            calendar = calendars.get(verdict.annex_id, province)
            before = self._live.get(key) or self._cleared.get(key)
            step = lifecycle.step(before, verdict, rule, calendar=calendar, now=now, role=role)
            if step != before and self._may_be(before, step, now):
                after[key] = step
        for annex_id, of in judged.items():
            for key in self._of_annex.get(annex_id, set()) - told:
                alert = self._live[key]
                step = lifecycle.without_verdict(alert, gone=_is_gone(alert, of), now=now)
                if step != alert:
                    after[key] = step
        return self._stepped(after)

    def _may_be(self, before: Alert | None, step: Alert | None, now: datetime) -> bool:
        """Not, if it opens where far too many opened today: a device that makes up names must not fill the database.

        Alerts about devices and annexes as such are few, and always open.
        """
        if step is None or step.state != "open" or (before is not None and before.state == "open"):
            return True
        if step.thing.kind in ("device", "annex", "controller") and not step.part:
            return True
        if self._opened_on != now.date():
            self._opened_on = now.date()
            self._opened.clear()
        self._opened[step.annex_id] += 1
        if self._opened[step.annex_id] == MOST_OPENED + 1:
            log.warning("annex opens too many alerts, further ones wait until tomorrow annex=%s", step.annex_id)
        return self._opened[step.annex_id] <= MOST_OPENED

    def mute(
        self,
        stepped: Stepped,
        maintenances: Iterable[Maintenance],
        *,
        roles: Mapping[str, str],
        devices: Mapping[Thing, Sequence[str]],
        now: datetime,
    ) -> Stepped:
        """The same step, with every alert as quiet as maintenance makes it now."""
        alerts = self._after(stepped)
        muted = mute(alerts, maintenances, now=now, roles=roles, devices=devices)
        different: dict[AlertKey, Alert | None] = {
            one.key: one for one, before in zip(muted, alerts, strict=True) if one is not before
        }
        return self._stepped(stepped.after | different)

    def _stepped(self, after: dict[AlertKey, Alert | None]) -> Stepped:
        return Stepped({key: known for key in after if (known := self._known(key)) is not None}, after)

    def group(self, stepped: Stepped, context: Context, *, now: datetime) -> grouping.Grouping:
        """The incidents that the alerts make after this step."""
        return grouping.group(self._after(stepped), self.incidents.values(), context, now=now)

    def _after(self, stepped: Stepped) -> Collection[Alert]:
        alerts: dict[AlertKey, Alert | None] = {**self._live, **stepped.after}
        return [alert for alert in alerts.values() if alert is not None]

    # -- writing

    def write(self, db: Session, stepped: Stepped, grouped: grouping.Grouping, *, now: datetime) -> "Round":
        """Write what changed; the round that `remember` takes once it is committed."""
        changed = [one for one in grouped.incidents if _is_news(self.incidents.get(one.id), one)]
        saved = incidents_store.save(db, changed)
        ids = {incident.key: incident.id for incident in grouped.incidents if incident.state == "open"}
        ids |= {incident.key: incident.id for incident in saved if incident.state == "open"}
        alerts = self._assigned(stepped, grouped, ids)
        stored = alerts_store.save(db, alerts)
        forgotten = [key for key, alert in stepped.after.items() if alert is None]
        alerts_store.forget(db, [known.id for key in forgotten if (known := self._live.get(key)) is not None])
        stories = [*_story(grouped.events, ids, saved), *_of_alerts(stepped, stored, now), *self._quietly(saved, now)]
        incidents_store.tell(db, stories)
        return Round(stored, forgotten, saved)

    def _quietly(self, saved: Iterable[Incident], now: datetime) -> Iterable[Told]:
        """Incidents that maintenance made quiet just now, or no longer keeps so."""
        for incident in saved:
            before = self.incidents.get(incident.id)
            if incident.muted != (before is not None and before.muted) and incident.state == "open":
                yield Told(incident.id, now, "muted" if incident.muted else "unmuted")

    def _assigned(self, stepped: Stepped, grouped: grouping.Grouping, ids: Mapping[str, int]) -> list[Alert]:
        """The alerts to write: those that were stepped, and those whose place among the incidents changed."""
        found: dict[AlertKey, Alert] = {key: alert for key, alert in stepped.after.items() if alert is not None}
        for key, where in grouped.assignments.items():
            alert = found.get(key) or self._live[key]
            placed = structs.replace(
                alert, incident_id=ids[where.incident_key], is_effect=where.is_effect,
                suppressed_by=where.suppressed_by,
            )  # fmt: skip
            if placed != alert or key in found:
                found[key] = placed
        return list(found.values())

    def remember(self, written: "Round", corrected: Iterable[Incident] = (), *, now: datetime) -> None:
        """Take in what was committed; `corrected`: incidents that late evidence put right."""
        for key in written.forgotten:
            self._drop(key)
        for alert in written.alerts:
            if alert.state == "cleared":
                self._drop(alert.key)
                self._cleared[alert.key] = alert
            else:
                self._cleared.pop(alert.key, None)
                self._put(alert)
        for incident in written.incidents:
            self.incidents[incident.id] = incident
        self.incidents |= {incident.id: incident for incident in corrected if incident.id in self.incidents}
        since = now - _REMEMBERED
        self._cleared = {k: a for k, a in self._cleared.items() if a.cleared_at is not None and a.cleared_at > since}
        self.incidents = {
            id_: incident for id_, incident in self.incidents.items()
            if incident.state == "open" or (incident.resolved_at is not None and incident.resolved_at > since)
        }  # fmt: skip

    def see_acknowledgements(self, told: Mapping[int, tuple[datetime, str]]) -> None:
        """Take in who takes care of which open incident."""
        for id_, incident in self.incidents.items():
            if incident.state == "open":
                at, by = told.get(id_, (None, ""))
                if (incident.acknowledged_at, incident.acknowledged_by) != (at, by):
                    self.incidents[id_] = structs.replace(incident, acknowledged_at=at, acknowledged_by=by)

    def _known(self, key: AlertKey) -> Alert | None:
        return self._live.get(key) or self._cleared.get(key)

    def _put(self, alert: Alert) -> None:
        before = self._live.get(alert.key)
        if before is not None and before.annex_id != alert.annex_id:
            self._of_annex[before.annex_id].discard(alert.key)
        self._live[alert.key] = alert
        self._of_annex.setdefault(alert.annex_id, set()).add(alert.key)

    def _drop(self, key: AlertKey) -> None:
        alert = self._live.pop(key, None)
        if alert is not None:
            self._of_annex[alert.annex_id].discard(key)


class Round(Struct, frozen=True):
    """What one transaction wrote."""

    alerts: list[Alert]
    forgotten: list[AlertKey]
    incidents: list[Incident]

    def live(self, before: Iterable[Alert]) -> list[Alert]:
        """The alerts that live after this round, of which these did before."""
        alerts = {alert.key: alert for alert in before} | {alert.key: alert for alert in self.alerts}
        gone = set(self.forgotten)
        return [alert for key, alert in alerts.items() if alert.state != "cleared" and key not in gone]

    @property
    def annexes(self) -> dict[str, str]:
        """Which annexes changed, with letters for `store.pulses`; an empty name is the province."""
        found: dict[str, str] = {}
        for incident in self.incidents:
            for annex_id in (*incident.annexes, incident.annex_id):
                found[annex_id] = "ai"
        for alert in self.alerts:
            if alert.state != "pending":
                found.setdefault(alert.annex_id, "a")
        return found


def _is_news(before: Incident | None, after: Incident) -> bool:
    """Whether an incident has to be written.  That it is some seconds older, and its rank with it, is no news."""
    if before is None or before == after:
        return before is None
    old, new = before.rank, after.rank
    as_before = structs.replace(new, score=old.score, minutes=old.minutes)
    is_older_only = as_before == old and abs(new.minutes - old.minutes) < 1
    return not is_older_only or structs.replace(after, rank=old) != before


def _is_gone(alert: Alert, of: Judged) -> bool:
    """Whether its subject is no more, and not only out of sight."""
    if (alert.thing, alert.part) in of.judged:
        return True  # the thing is there, the rule no longer speaks of it: it was switched off
    if alert.thing in of.blind:
        return False
    return not (alert.thing.kind == "portal" and Thing("annex", of.view.id) in of.blind)


def _story(events: Iterable[grouping.Event], ids: Mapping[str, int], saved: Iterable[Incident]) -> Iterable[Told]:
    of_saved = {incident.key: incident.id for incident in saved}
    for event in events:
        incident_id = event.incident_id or ids.get(event.incident_key) or of_saved[event.incident_key]
        yield Told(incident_id, event.at, event.kind, facts=event.facts)


def _of_alerts(stepped: Stepped, stored: Iterable[Alert], now: datetime) -> Iterable[Told]:
    """What happened to alerts of an incident besides opening."""
    for alert in stored:
        before = stepped.before.get(alert.key)
        kind = lifecycle.happened(before, alert)
        incident_id = alert.incident_id or (before.incident_id if before else None)
        if kind and incident_id:
            facts: Facts = {
                "rule": alert.rule_id,
                "cause": alert.cause,
                "thing": alert.thing.id,
                "thing_kind": alert.thing.kind,
            }
            yield Told(incident_id, now, kind, facts=facts)
