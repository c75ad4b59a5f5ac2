"""The plan's promises, whatever happens: any sequence of trouble, answers, maintenance and failing delivery."""

from collections import defaultdict
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controller.notify.planning import ALL, World, receiver
from tests.drawing import examples

from annexfleet_controller.notify import model
from annexfleet_controller.notify.model import Route, Told

NUMBERS = st.integers(1, 6)
STEPS = st.one_of(
    st.tuples(st.just("opens"), NUMBERS, st.sampled_from(["info", "warning", "critical"])),
    st.tuples(st.just("resolves"), NUMBERS, st.none()),
    st.tuples(st.just("worsens"), NUMBERS, st.sampled_from(["warning", "critical"])),
    st.tuples(st.just("acknowledged"), NUMBERS, st.none()),
    st.tuples(st.just("mutes"), NUMBERS, st.booleans()),
    st.tuples(st.just("asks"), NUMBERS, st.none()),
    st.tuples(st.just("later"), st.integers(1, 3000), st.none()),
    st.tuples(st.just("storm"), st.integers(5, 60), st.none()),
    st.tuples(st.just("delivers"), st.integers(0, 3), st.sampled_from(["sent", "sent", "failed", "again"])),
)


class Proven(World):
    """Checks each promise at the moment of delivery, apart from how the plan came to it."""

    def __init__(self) -> None:
        super().__init__(
            receiver(1, Route(audiences=ALL, min_severity="info")),
            receiver(2, Route(audiences=ALL, hours="opening"), Route(audiences=ALL, level=1, after_s=1200)),
            receiver(3, Route(audiences=ALL, level=2, after_s=2400)),
            receiver(4, Route(audiences=("staff",), min_severity="info")),
        )
        self.sent: dict[tuple[int, int], list[tuple[datetime, model.Item]]] = defaultdict(list)
        self.ever_asked: set[int] = set()
        self.of_contact: dict[int, list[datetime]] = defaultdict(list)

    def step(self, what: str, number: int, how: object) -> None:
        if what == "later":
            self.later(seconds=number)
        elif what == "delivers":
            self.deliver_one(number, str(how))
        elif what == "storm":
            for one in range(100, 100 + number):
                if one not in self.incidents:
                    self.opens(one)
        elif what == "opens" and number not in self.incidents:
            self.opens(number, severity=how)  # type: ignore[arg-type]
        elif what == "asks":
            if number in self.incidents and self.incidents[number].state == "open":
                self.asks(number)
                self.ever_asked.add(number)
        elif number in self.incidents:
            if what == "resolves":
                self.asked.pop(number, None)
            self.becomes(number, **self.changes(what, number, how))

    def changes(self, what: str, number: int, how: object) -> dict[str, object]:
        is_over = self.incidents[number].state == "resolved"
        return {
            "opens": {"state": "open", "resolved_at": None, "acknowledged_at": None, "severity": how}
            if is_over
            else {},
            "resolves": {} if is_over else {"state": "resolved", "resolved_at": self.now},
            "worsens": {"severity": how},
            "acknowledged": {"acknowledged_at": self.now},
            "mutes": {"muted": how},
        }[what]

    def deliver_one(self, place: int, how: str) -> None:
        waiting = [at for at, row in enumerate(self.told) if row.state == "queued"]
        if how == "again" or not waiting:
            return
        at = waiting[place % len(waiting)]
        self.told[at] = self.ended(self.told[at], how)  # type: ignore[arg-type]
        if self.told[at].state == "sent":
            self.check(self.told[at])

    def check(self, row: Told) -> None:
        for item in row.items:
            past = self.sent[row.contact_id, item.incident_id]
            incident = self.incidents[item.incident_id]
            alike = [at for at, one in past if (one.what == "help") is (item.what == "help")]
            if alike:
                assert self.now - alike[-1] >= timedelta(minutes=30), "more than one in half an hour"
            if item.what == "resolved":
                assert incident.state == "resolved"
                assert past, "resolved without a beginning"
                assert past[-1][1].what != "resolved", "resolved twice"
            else:
                assert incident.state == "open"
                assert item.what == "help" or not incident.muted
            if item.what == "help":
                assert row.contact_id != 4, "staff are not told that staff ask"
                assert item.incident_id in self.ever_asked
            if item.what in {"escalation", "reminder"} or item.level:
                assert incident.acknowledged_at is None
            past.append((self.now, item))
        times = self.of_contact[row.contact_id]
        times.append(self.now)
        assert sum(self.now - at < timedelta(hours=1) for at in times) <= 12, "more than the limit of an hour"


@settings(max_examples=examples(200))
@given(st.lists(STEPS, min_size=10, max_size=120))
def test_no_sequence_breaks_a_promise(steps: list[tuple[str, int, object]]):
    world = Proven()

    for step in steps:
        world.step(*step)
        world.queue()


@settings(max_examples=examples(60))
@given(st.lists(STEPS, max_size=60))
def test_in_the_end_everybody_told_of_a_beginning_is_told_the_end(steps: list[tuple[str, int, object]]):
    world = Proven()
    for step in steps:
        world.step(*step)
        world.queue()
    for number in [one for one, of in world.incidents.items() if of.state == "open"]:
        world.resolves(number)
    # Within opening hours of the next day, with a post office that works.
    world.now = world.now.replace(hour=9, minute=0, second=0) + timedelta(days=1)
    while world.now.weekday() > 4:
        world.later(days=1)

    for _ in range(18):
        world.queue()
        while any(row.state == "queued" for row in world.told):
            world.deliver_one(0, "sent")
        world.later(minutes=20)

    assert [key for key, past in world.sent.items() if past[-1][1].what != "resolved"] == []
