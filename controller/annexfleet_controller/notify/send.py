"""The loop that delivers: claims what is due, sends it outside of any transaction, records what became of it.

Delivery is durable and at least once.  A notice leaves the queue only when its outcome is recorded.  While its sender
holds the claim nobody else sends it; if that sender dies between sending and recording, another one sends it again
after the lease, under the same notice id.
"""

import logging
import random
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from msgspec import Struct, structs
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.i18n.catalogues import language
from annexfleet_controller.notify import book, channels, planning, texts
from annexfleet_controller.notify.channels import Destination, Message
from annexfleet_controller.notify.model import NoticeKind
from annexfleet_controller.notify.outcome import Outcome, again
from annexfleet_controller.notify.plan import stands_no_more
from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import annexes, contacts, figures, incidents, notices
from annexfleet_controller.store.database import open_database, reading, writing
from annexfleet_controller.things import Incident

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=3)
"""Longer than any attempt takes."""
AT_ONCE = 4
FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 3600.0
PLANNING_FAILED_AT = "notices_planning_failed_at_seconds"
_LOOK_EVERY_S = 1.0
_PLAN_EVERY_S = 30.0

Deliver = Callable[..., Outcome]
"""As `channels.deliver`."""
Circumstances = Callable[[Session], tuple[Ruleset, Mapping[str, Calendar]]]
"""The rules in force, and the opening hours by annex."""


def run(home: Home, stop: threading.Event, circumstances: Circumstances) -> None:
    """Plan and deliver until `stop` is set."""
    engine = open_database(home.database_url)
    try:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="notices") as pool:
            sender = Sender(engine, home.settings, pool=pool)
            plan_at = sender.clock.mono()
            while not stop.wait(_LOOK_EVERY_S):
                try:
                    if sender.clock.mono() >= plan_at:
                        plan_at = sender.clock.mono() + _PLAN_EVERY_S
                        plan_or_say(engine, circumstances, now=sender.clock.now())
                    while sender.step() and not stop.is_set():
                        pass
                except SQLAlchemyError as error:
                    log.warning("notices put off, the database fails reason=%s", error)
    finally:
        engine.dispose()


def plan_or_say(engine: Engine, circumstances: Circumstances, *, now: datetime) -> None:
    """`plan_now`; what nobody foresaw is logged and kept for the doctor, and what is queued goes out all the same."""
    try:
        plan_now(engine, circumstances, now=now)
    except SQLAlchemyError:
        raise
    except Exception:  # the fence between planning and delivery
        log.exception("notices cannot be planned")
        with writing(engine) as db:
            figures.put(db, {PLANNING_FAILED_AT: now.timestamp()}, now=now)


def plan_now(engine: Engine, circumstances: Circumstances, *, now: datetime) -> int:
    """What time alone makes due: quiet hours that ended, escalations, reminders, pauses that passed."""
    with reading(engine) as db:
        rules, calendars = circumstances(db)
    return planning.plan_notices(engine, rules, calendars, now=now)


class Sender:
    """One of perhaps several that share the queue."""

    def __init__(
        self, engine: Engine, settings: Settings, *, clock: Clock = SYSTEM, deliver: Deliver = channels.deliver,
        pool: ThreadPoolExecutor | None = None, chance: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.clock = clock
        self.name = f"sender-{secrets.token_hex(6)}"
        self._public_url = settings.public_url
        self._ways = channels.ways_of(settings)
        self._deliver = deliver
        self._pool = pool
        self._chance = chance or random.Random()  # noqa: S311  # it spreads attempts, it keeps no secret

    def step(self) -> int:
        """Deliver some of what is due; how many notices were taken.  0: nothing is due."""
        with reading(self.engine) as db:
            if not notices.is_any_due(db, now=self.clock.now()):
                return 0
        with writing(self.engine) as db:
            taken = notices.claim(db, self.name, now=self.clock.now(), lease=LEASE, at_most=AT_ONCE)
        if self._pool is None:
            for notice_id in taken:
                self._attempt(notice_id)
        else:
            list(self._pool.map(self._attempt, taken))
        return len(taken)

    def _attempt(self, notice_id: int) -> None:
        try:
            prepared = self._prepare(notice_id)
            if prepared is None:
                return
            try:
                outcome = self._deliver(prepared.message, prepared.to, self._ways, now=self.clock.now())
            except Exception as error:  # the fence between notices: one that cannot be sent must not hold the others
                # Without the trace, whose values may be keys.
                log.error("notice failed notice=%s error=%s", notice_id, type(error).__name__)  # noqa: TRY400
                outcome = again("internal", type(error).__name__)
            self._record(prepared, outcome)
        except SQLAlchemyError as error:  # the lease runs out, and somebody tries again
            log.warning("notice put off, the database fails notice=%s reason=%s", notice_id, error)

    def _prepare(self, notice_id: int) -> "_Prepared | None":
        """What is to be sent; None if nothing is any more, which is recorded."""
        now = self.clock.now()
        with reading(self.engine) as db:
            claimed = notices.claimed(db, notice_id, self.name)
            if claimed is None:
                return None
            found = self._written(db, claimed, now)
        if isinstance(found, _Prepared):
            return found
        with writing(self.engine) as db:
            notices.end(db, notice_id, self.name, "dropped", now=now, reason=found)
        return None

    def _written(self, db: Session, claimed: notices.Claimed, now: datetime) -> "_Prepared | str":
        """The message in the receiver's words; or why there is none, as a code."""
        row, contact = claimed.row, claimed.contact
        if not contact.enabled and row.kind != "test":
            return "contact_disabled"
        found = incidents.by_ids(db, [one.incident_id for one in claimed.items])
        heard_of = _annexes_heard_of(db, contact.id)
        known = {one.id: one if heard_of is None else _narrowed(one, heard_of) for one in found}
        asked = incidents.help_asked(db, [one.incident_id for one in claimed.items if one.what == "help"])
        said, reasons = [], {}
        for item in map(book.item, claimed.items):
            if reason := stands_no_more(item, known[item.incident_id]):
                reasons[item.incident_id] = reason
            else:
                said.append(texts.Said(item, known[item.incident_id], _call(asked.get(item.incident_id))))
        if claimed.items and not said:
            return next(iter(reasons.values()))
        said.sort(
            key=lambda one: (one.item.what != "help", one.incident.severity != "critical", -one.incident.rank.score)
        )
        kind: NoticeKind = "test" if not said else "digest" if len(said) > 1 else said[0].item.what
        message = texts.message(
            language(contact.language), kind, said, _places(db), notice_id=row.dedupe_key.replace("/", "-"),
            public_url=self._public_url, now=now,
        )  # fmt: skip
        return _Prepared(
            notice_id=row.id, contact_id=contact.id, contact_name=contact.name, message=message,
            to=Destination(book.kind_of(contact), contact.address, contact.secret), attempts=row.attempts,
            give_up_at=row.give_up_at, said=tuple(said), left_out=frozenset(reasons),
        )  # fmt: skip

    def _record(self, sent: "_Prepared", outcome: Outcome) -> None:
        now = self.clock.now()
        reason = {"reason": outcome.reason, "detail": outcome.detail}
        with writing(self.engine) as db:
            if outcome.result == "sent":
                if notices.end(db, sent.notice_id, self.name, "sent", now=now, left_out=sent.left_out):
                    _write_down(db, sent, now)
                return
            due_at = now + timedelta(seconds=pause_s(sent.attempts, self._chance.random()))
            if outcome.result == "permanent" or due_at >= sent.give_up_at:
                log.warning("notice failed for good notice=%s reason=%s detail=%s attempts=%s",
                            sent.notice_id, outcome.reason, outcome.detail, sent.attempts)  # fmt: skip
                notices.end(db, sent.notice_id, self.name, "failed", now=now, left_out=sent.left_out, **reason)
            else:
                notices.put_off(db, sent.notice_id, self.name, due_at=due_at, **reason)


def _annexes_heard_of(db: Session, contact_id: int) -> frozenset[str] | None:
    """The annexes that a contact's routes name; None for the whole province."""
    named = [book.route(row).annexes for row in contacts.routes(db, contact_id).get(contact_id, [])]
    if any(of is None for of in named):
        return None
    return frozenset(annex for of in named for annex in of or ())


def _narrowed(incident: Incident, heard_of: Collection[str]) -> Incident:
    """Without the annexes of which its reader is not to hear."""
    return structs.replace(
        incident, annexes=tuple(annex for annex in incident.annexes if annex in heard_of),
        annex_id=incident.annex_id if incident.annex_id in heard_of else "",
    )  # fmt: skip


def pause_s(attempts: int, chance: float) -> float:
    """How long to wait after so many attempts: from half a minute, doubling to an hour, a quarter more or less.

    `chance` is from 0 to 1: without it all who failed together would come back together.
    """
    usual = FIRST_PAUSE_S * 2 ** min(attempts - 1, 20)
    return float(min(usual * (0.75 + chance / 2), LONGEST_PAUSE_S))


class _Prepared(Struct, frozen=True, kw_only=True):
    notice_id: int
    contact_id: int
    contact_name: str
    message: Message
    to: Destination
    attempts: int
    give_up_at: datetime
    said: tuple[texts.Said, ...]
    left_out: Collection[int]
    """Incidents of which it says nothing after all."""


def _places(db: Session) -> dict[str, texts.Place]:
    return {place.id: texts.Place(place.name_fr, place.name_ar) for place in annexes.listing(db, with_retired=True)}


def _call(asked: incidents.Told | None) -> texts.Call | None:
    return None if asked is None else texts.Call(asked.at, asked.by, str(asked.facts.get("note", "")))


def _write_down(db: Session, sent: "_Prepared", now: datetime) -> None:
    """That somebody was told belongs to the incident's story; that a test got through, to the contact."""
    if not sent.said:
        contacts.verified(db, sent.contact_id, address=sent.to.address, now=now)
    incidents.tell(
        db,
        [
            incidents.Told(
                one.incident.id, now, "escalated" if one.item.what == "escalation" else "told", sent.contact_name[:80],
                {"what": one.item.what, "channel": sent.to.kind},
            )
            for one in sent.said
        ],
    )  # fmt: skip
