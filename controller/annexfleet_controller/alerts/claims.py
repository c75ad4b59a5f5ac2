"""Around `fixes`: somebody says that an incident's cause is mended, and what devices report afterwards is looked at.

    claim_fix (API, page)  ->  fix_claim: checking  ->  step (the watch loop, each tick)  ->  confirmed, not confirmed
                 \\-> the devices that can tell are watched meanwhile                          or unknown

Every claim and every outcome is a line of the incident's story.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from annexfleet_controller import fixes, state
from annexfleet_controller.errors import NothingToFix
from annexfleet_controller.fixes import Claim
from annexfleet_controller.store import alerts as stored_alerts
from annexfleet_controller.store import fixes as stored
from annexfleet_controller.store import fleet, incidents, watches
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.things import Alert, Facts, Incident, Thing

MOST_WATCHED = 3
"""Where more devices can tell, such as after a cut, they tell by coming back, and a watch adds nothing."""
_WATCHED_LONGER = timedelta(seconds=10)


def claim_fix(db: Session, incident: Incident, alerts: Iterable[Alert], *, by: str, now: datetime) -> Claim:
    """Somebody says that it is mended; the claim, or the one about this incident that is being verified already.

    `alerts` are those of the incident.  Raises NothingToFix where none of them is open.
    """
    causes = _to_clear(alerts)
    if incident.state != "open" or not causes:
        raise NothingToFix(f"incident {incident.id} is over")
    numbers = _who_can_tell(db, incident, causes, now=now)
    wanted = fixes.claim(
        incident_id=incident.id, alerts=causes, thing=incident.thing, cause=causes[0].cause or incident.cause,
        numbers=numbers, by=by, now=now,
    )  # fmt: skip
    claim, is_new = stored.add(db, wanted)
    if not is_new:
        return claim
    if len(numbers) <= MOST_WATCHED:
        for number in numbers:
            watches.push(db, number, until=claim.deadline + _WATCHED_LONGER)
    facts: Facts = {"cause": claim.cause, "seconds": (claim.deadline - now).total_seconds()}
    incidents.tell(db, [Told(incident.id, now, "fix_claimed", by, facts)])
    return claim


def step(db: Session, live_alerts: Iterable[Alert], *, now: datetime) -> list[Claim]:
    """Settle the claims of which something can be said now; gives those.

    To be called at each tick after alerts were judged, in the transaction in which they are saved or a later one.
    `live_alerts` as they are now; those of a claim that are not among them are read from the database.
    """
    claims = stored.open_ones(db)
    if not claims:
        return []
    wanted = {id_ for claim in claims for id_ in claim.alerts}
    known = {alert.id: alert for alert in live_alerts if alert.id in wanted}
    known |= {alert.id: alert for alert in stored_alerts.by_ids(db, wanted - set(known))}
    heard_at = stored.heard_at(db, {number for claim in claims for number in claim.numbers})
    settled = []
    for claim in claims:
        newest = max((heard_at[number] for number in claim.numbers if number in heard_at), default=None)
        found = [fixes.shown(known[id_], heard_at=newest) for id_ in claim.alerts if id_ in known]
        after = fixes.settle(claim, found, now=now)
        if after is not claim and stored.settle(db, after):
            settled.append(after)
    incidents.tell(db, [_line(claim, now) for claim in settled])
    return settled


def _line(claim: Claim, now: datetime) -> Told:
    kind = "fix_confirmed" if claim.outcome == "confirmed" else "fix_not_confirmed"
    facts: Facts = {"outcome": claim.outcome}
    if claim.still:
        facts["cause"] = claim.still
    return Told(claim.incident_id, now, kind, "", facts)


def _to_clear(alerts: Iterable[Alert]) -> list[Alert]:
    """What must end: the open causes, the worst first; where only effects are left open, those."""
    still_open = [alert for alert in alerts if alert.state == "open"]
    causes = [alert for alert in still_open if not alert.is_effect] or still_open
    order = {"critical": 0, "warning": 1, "info": 2}
    return sorted(causes, key=lambda alert: (order[alert.severity], alert.id))


def _who_can_tell(db: Session, incident: Incident, causes: Sequence[Alert], *, now: datetime) -> list[int]:
    """Numbers of the devices whose word decides, as things stand now."""
    things = {incident.thing, *(alert.thing for alert in causes)}
    kinds = {thing.kind for thing in things}
    annexes = {annex for annex in (incident.annex_id, *(alert.annex_id for alert in causes)) if annex}
    found: set[int] = set()
    for annex_id in sorted(annexes):
        rows = fleet.devices(db, WHOLE, now=now, annex_id=annex_id)
        if kinds & {"annex", "portal"}:
            found |= {row.number for row in rows}
        found |= {row.number for row in rows if Thing("device", row.id) in things}
        # Of those that can be heard, if any can: `views` believes the same ones.
        online = [row for row in rows if row.presence(now) == "online"] or rows
        if "printer" in kinds:
            found |= _printer_tellers(db, online, things)
        if "queue" in kinds:
            found |= _queue_tellers(db, online, annex_id, things)
    return sorted(found)


def _printer_tellers(db: Session, rows: Sequence[fleet.DeviceRow], things: set[Thing]) -> set[int]:
    """The devices whose word on a printer is taken: one of them asks it, the others know their own queue only."""
    known = fleet.known(db, rows, collectors=["printers"])
    return {seen.seen_by[0].number for seen in fleet.printers(rows, known) if Thing("printer", seen.id) in things}


def _queue_tellers(db: Session, rows: Sequence[fleet.DeviceRow], annex_id: str, things: set[Thing]) -> set[int]:
    known = fleet.known(db, rows, collectors=["queues"])
    return {
        row.number
        for row in rows
        for queue in state.queues(known[row.number])
        if Thing("queue", f"{annex_id}/{queue.service}") in things
    }
