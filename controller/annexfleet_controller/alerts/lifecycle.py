"""How an alert begins, lasts, ends and comes back.  Thinks only; never raises, whatever it is told.

    nothing --raise--> pending --`for` shown by evidence--> open --clear for long enough--> cleared
                          |  clear                           ^                                |
                          v                                  +------- back within 10 min -----+
                       nothing

What it promises:

- Time counts only as far as evidence reaches.  With `rule.samples` of 2 and more, `for` is measured from `since` to the
  newest evidence and not to the clock; with 1 a single report is proof, and it is measured to the clock.  A verdict
  about silence therefore has as `evidence_at` the moment of listening, or its rule has `samples=1`.
- Where the readings do not tell since when, and nothing was heard for longer than 15 minutes (or the rule's own `for`),
  the condition counts from the next evidence on: the controller may have been off.
- No data ripens nothing, and clears nothing.
- While an alert is open its severity rises and does not fall.  It falls when it comes back milder after it had cleared.
- The same call twice changes nothing the second time.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import structs

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.rules.model import Rule
from annexfleet_controller.things import SEVERITIES, Alert, Verdict

RETURNS_WITHIN = timedelta(minutes=10)
"""What comes back so soon after it had cleared is the same alert."""
FLAPS_WITHIN = timedelta(hours=1)
MOST_FLAPS = 4
"""With so many returns within `FLAPS_WITHIN` it flaps, and `FLAPPING_CLEAR_FOR_S` counts."""
FLAPPING_CLEAR_FOR_S = 900.0
LONGEST_GAP = timedelta(minutes=15)
"""Three beats of five minutes: over a longer gap nobody can say that the condition held."""
OLDEST_SINCE = timedelta(days=366)
"""No condition is believed to have begun earlier."""
OPEN_TIME_WITHIN = timedelta(days=60)
"""How far back opening time is counted."""
PENDING_UNKNOWN_AT_MOST = timedelta(days=1)
"""What was about to become an alert is forgotten after so long without data."""

_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(2190, 1, 1, tzinfo=UTC)
_LONGEST_S = 1e9
_MOST_SAMPLES = 1_000_000


def step(
    alert: Alert | None, verdict: Verdict, rule: Rule, *, calendar: Calendar, now: datetime, role: str = ""
) -> Alert | None:
    """The alert after this verdict; None if there is none.

    `alert` is the newest of the verdict's key: the live one, else one that cleared within `RETURNS_WITHIN`, else None.
    Given a cleared one, the answer is that one unchanged, or reopened, or a new one with `id` 0.  `role` is that of the
    device, for `for_s_by_role`.  `calendar` is that of the annex.
    """
    now = _moment(now)
    if alert is not None and alert.key != (verdict.rule_id, verdict.thing, verdict.part):
        return alert
    if not rule.enabled:
        return None if alert is None else without_verdict(alert, gone=True, now=now)
    if alert is not None and alert.state == "cleared":
        return _after_clearing(alert, verdict, rule, calendar=calendar, now=now, role=role)
    if verdict.level == "raise":
        return _raised(alert, verdict, rule, calendar=calendar, now=now, role=role)
    return None if alert is None else _not_raised(alert, verdict, rule, now)


def without_verdict(alert: Alert, *, gone: bool, now: datetime) -> Alert | None:
    """The alert when nothing is concluded about its subject.

    `gone`: there is no such thing any more (retired, unplugged for good, a rule switched off), which ends it.  Else it
    only cannot be judged: an open one stays open and says since when nothing is known of it.
    """
    now = _moment(now)
    if alert.state == "cleared":
        return alert
    if gone:
        if alert.state == "pending":
            return None
        return structs.replace(alert, state="cleared", cleared_at=now, clearing_since=None, unknown_since=None)
    unknown_since = now if alert.unknown_since is None else min(_moment(alert.unknown_since), now)
    if alert.state == "pending" and now - unknown_since > PENDING_UNKNOWN_AT_MOST:
        return None
    return structs.replace(alert, unknown_since=unknown_since, clearing_since=None)


def reopen(cleared: Alert, verdict: Verdict, rule: Rule, *, calendar: Calendar, now: datetime) -> Alert | None:
    """The cleared alert, open again: the condition came back within `RETURNS_WITHIN`, on newer evidence.

    At once, without another `for`, but within the hours in which the rule may open.  None if it is not that.
    `step` calls it.
    """
    now, evidence_at = _moment(now), _moment(verdict.evidence_at)
    if cleared.state != "cleared" or cleared.cleared_at is None or verdict.level != "raise" or not rule.enabled:
        return None
    if cleared.key != (verdict.rule_id, verdict.thing, verdict.part):
        return None
    since_clearing = now - _moment(cleared.cleared_at)
    if not timedelta(0) <= since_clearing <= RETURNS_WITHIN or evidence_at <= _moment(cleared.evidence_at):
        return None
    if rule.only_open and not _may_open(calendar, now, _seconds(rule.opening_grace_s)):
        return None
    evidence_at = min(evidence_at, now)
    recent = tuple(at for at in map(_moment, cleared.returned_at) if now - FLAPS_WITHIN < at <= now)
    return structs.replace(
        cleared, state="open", severity=verdict.severity, cause=verdict.cause, facts=verdict.facts,
        annex_id=verdict.annex_id, since=_since(verdict, evidence_at, now) or evidence_at, evidence_at=evidence_at,
        samples=1, clearing_since=None, unknown_since=None, cleared_at=None, flaps=cleared.flaps + 1,
        returned_at=(*recent, now)[-MOST_FLAPS:],
    )  # fmt: skip


def worsened(before: Alert | None, after: Alert | None) -> bool:
    """Whether an alert that was open already is more severe now."""
    if before is None or after is None or before.state != "open" or after.state != "open":
        return False
    return _severity(after.severity) > _severity(before.severity)


def happened(before: Alert | None, after: Alert | None) -> Literal["alert_cleared", "alert_reopened", ""]:
    """What an incident's story says of a step; that an alert opened, grouping finds (`incidents.Event`)."""
    if before is None or after is None or before.state == after.state:
        return ""
    if after.state == "cleared":
        return "alert_cleared"
    return "alert_reopened" if before.state == "cleared" and after.flaps > before.flaps else ""


def flaps_now(alert: Alert, now: datetime) -> bool:
    """Whether it came back so often of late that it has to stay clear for `FLAPPING_CLEAR_FOR_S`."""
    now = _moment(now)
    return sum(now - FLAPS_WITHIN < _moment(at) <= now for at in alert.returned_at) >= MOST_FLAPS


# -- raise and clear


def _after_clearing(
    cleared: Alert, verdict: Verdict, rule: Rule, *, calendar: Calendar, now: datetime, role: str
) -> Alert | None:
    newer = _moment(verdict.evidence_at) > _moment(cleared.evidence_at)
    if verdict.level != "raise" or not newer:
        return cleared
    back = reopen(cleared, verdict, rule, calendar=calendar, now=now)
    return back or _raised(None, verdict, rule, calendar=calendar, now=now, role=role)


def _not_raised(alert: Alert, verdict: Verdict, rule: Rule, now: datetime) -> Alert | None:
    if verdict.level == "clear":
        return _clear(alert, verdict, rule, now)
    if verdict.level == "hold":
        return structs.replace(alert, unknown_since=None, clearing_since=None)
    return without_verdict(alert, gone=False, now=now)


def _raised(
    alert: Alert | None, verdict: Verdict, rule: Rule, *, calendar: Calendar, now: datetime, role: str
) -> Alert | None:
    evidence_at = min(_moment(verdict.evidence_at), now)
    told = _since(verdict, evidence_at, now)
    for_s = _seconds(rule.for_s_by_role.get(role, rule.for_s))
    if alert is None:
        alert = _new(verdict, told, evidence_at)
    elif evidence_at < _moment(alert.evidence_at):
        return alert  # an older reading says nothing about now
    elif alert.state == "open":
        return _still_open(alert, verdict, told, evidence_at)
    else:
        alert = _more_evidence(alert, verdict, told, evidence_at, for_s)
    if not _is_ripe(alert, rule, for_s, calendar=calendar, now=now):
        return alert
    return structs.replace(alert, state="open", opened_at=now)


def _new(verdict: Verdict, told: datetime | None, evidence_at: datetime) -> Alert:
    return Alert(
        rule_id=verdict.rule_id, thing=verdict.thing, part=verdict.part, annex_id=verdict.annex_id,
        severity=verdict.severity, cause=verdict.cause, facts=verdict.facts, since=told or evidence_at,
        evidence_at=evidence_at, samples=_first_samples(told, evidence_at),
    )  # fmt: skip


def _first_samples(told: datetime | None, evidence_at: datetime) -> int:
    """2 where the evidence is newer than the beginning: it was reported, and stood when the device was heard again."""
    return 2 if told is not None and evidence_at > told else 1


def _more_evidence(alert: Alert, verdict: Verdict, told: datetime | None, evidence_at: datetime, for_s: float) -> Alert:
    """A pending alert, with what this verdict adds."""
    before = _moment(alert.evidence_at)
    since, samples = min(_moment(alert.since), evidence_at), alert.samples
    if told is not None:
        began_anew, since = told > before, told
    else:
        began_anew = evidence_at - before > max(LONGEST_GAP, timedelta(seconds=for_s))
        since = evidence_at if began_anew else since
    if began_anew:
        samples = _first_samples(told, evidence_at)
    elif evidence_at > before:
        samples = min(samples + 1, _MOST_SAMPLES)
    return structs.replace(
        alert, annex_id=verdict.annex_id, severity=verdict.severity, cause=verdict.cause, facts=verdict.facts,
        since=since, evidence_at=evidence_at, samples=samples, unknown_since=None, clearing_since=None,
    )  # fmt: skip


def _still_open(alert: Alert, verdict: Verdict, told: datetime | None, evidence_at: datetime) -> Alert:
    """Its beginning may turn out to be earlier; a later one is the same trouble that paused."""
    worse = _severity(verdict.severity) > _severity(alert.severity)
    newer = evidence_at > _moment(alert.evidence_at)
    return structs.replace(
        alert, annex_id=verdict.annex_id, severity=verdict.severity if worse else alert.severity, cause=verdict.cause,
        facts=verdict.facts, since=alert.since if told is None else min(_moment(alert.since), told),
        evidence_at=evidence_at, samples=min(alert.samples + 1, _MOST_SAMPLES) if newer else alert.samples,
        unknown_since=None, clearing_since=None,
    )  # fmt: skip


def _is_ripe(alert: Alert, rule: Rule, for_s: float, *, calendar: Calendar, now: datetime) -> bool:
    if alert.samples < rule.samples:
        return False
    until = now if rule.samples <= 1 else _moment(alert.evidence_at)
    since = _moment(alert.since)
    if not rule.only_open:
        return (until - since).total_seconds() >= for_s
    grace_s = _seconds(rule.opening_grace_s)
    return _may_open(calendar, now, grace_s) and _open_s(calendar, since, until, grace_s) >= for_s


def _clear(alert: Alert, verdict: Verdict, rule: Rule, now: datetime) -> Alert | None:
    evidence_at, before = min(_moment(verdict.evidence_at), now), _moment(alert.evidence_at)
    if evidence_at < before:
        return alert
    if alert.state == "pending":
        return None
    since = evidence_at
    if alert.clearing_since is not None and evidence_at - before <= LONGEST_GAP:
        since = min(_moment(alert.clearing_since), evidence_at)
    clear_for_s = _seconds(rule.clear_for_s)
    if flaps_now(alert, now):
        clear_for_s = max(clear_for_s, FLAPPING_CLEAR_FOR_S)
    alert = structs.replace(alert, evidence_at=evidence_at, clearing_since=since, unknown_since=None)
    if (now - since).total_seconds() < clear_for_s:
        return alert
    return structs.replace(alert, state="cleared", cleared_at=now, clearing_since=None)


# -- opening time


def _may_open(calendar: Calendar, now: datetime, grace_s: float) -> bool:
    opened_at = calendar.opened_at(now)
    return opened_at is not None and (now - opened_at).total_seconds() >= grace_s


def _open_s(calendar: Calendar, since: datetime, until: datetime, grace_s: float) -> float:
    """Opening time within [since, until), without the first `grace_s` after each opening."""
    since = max(since, until - OPEN_TIME_WITHIN)
    if not grace_s:
        return calendar.open_seconds(since, until)
    total_s = 0.0
    for start, end in calendar.spans(since, until):
        opened_at = calendar.opened_at(start) or start
        counts_from = max(start, opened_at + timedelta(seconds=grace_s))
        total_s += max(0.0, (end - counts_from).total_seconds())
    return total_s


# -- what cannot be is made what can


def _since(verdict: Verdict, evidence_at: datetime, now: datetime) -> datetime | None:
    """Since when by the readings: not after the evidence, not in the future, not before `OLDEST_SINCE`."""
    if verdict.since is None:
        return None
    return min(max(_moment(verdict.since), now - OLDEST_SINCE), evidence_at)


def _moment(at: datetime) -> datetime:
    """Aware, in UTC, and far enough from the ends of time that arithmetic works."""
    if at.tzinfo is None or at.utcoffset() is None:
        at = at.replace(tzinfo=UTC)
    return min(max(at, _FIRST), _LAST).astimezone(UTC)


def _seconds(told: float) -> float:
    if not math.isfinite(told):
        return _LONGEST_S if told == math.inf else 0.0
    return min(max(told, 0.0), _LONGEST_S)


def _severity(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1
