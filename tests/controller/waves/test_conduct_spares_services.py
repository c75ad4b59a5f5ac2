"""Small provinces, real plans, whatever befalls them: no step makes a service stand worse because of the rollout."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.controller.waves.provinces import Annex, NeedOf, annexes, candidate
from tests.controller.waves.test_budget_holds import AT_A_COUNTER, assert_nobody_is_missed
from tests.drawing import examples

from annexfleet_controller.waves import beginning, conduct, windows
from annexfleet_controller.waves.applying import applied
from annexfleet_controller.waves.budget import with_all_well
from annexfleet_controller.waves.model import BAD, TOUCHED, Begin, Health, Nature, Policy, Rollout, Target
from annexfleet_controller.waves.plan import plan
from annexfleet_controller.waves.seen import Device, Outcome, Seen

START = datetime(2026, 10, 6, 9, 0, tzinfo=UTC)
NATURE = Nature(configures="agent", takes_s=60)
POLICY = Policy(
    window="always",
    canary_count=6,
    growth=2,
    soak_s=60,
    canary_soak_s=60,
    most_bad_count=99,
    most_at_once=9,
    verify_within_s=300,
)
ENDS = (*["changed"] * 5, "failed", "timed_out", "unreachable", "unknown")
OWN = ("silent", *["back"] * 2, "jams", "prints", "people", "hours", "foreign", *["foreign_ends"] * 2, *["mended"] * 3)


class World:
    """Annexes with a rollout under way in them."""

    def __init__(self, places: dict[str, Annex]) -> None:
        self.places = places
        self.annex_of = {device: name for name, place in places.items() for device in place.devices}
        self.foreign: set[str] = set()
        """Devices of another run, or of planned maintenance."""
        self.disturbed: set[str] = set()
        """Annexes to which anything but the rollout ever happened."""
        self.mended: set[str] = set()
        self.outcomes: dict[int, Outcome] = {}
        self.now, self.run_id = START, 1
        chosen = [
            candidate(int(device[1:]), role, annex_id=name)
            for name, place in places.items() for device, role in place.devices.items()
        ]  # fmt: skip
        structure = {name: with_all_well(place.now().trees) for name, place in places.items()}
        made = plan(
            chosen, POLICY, NATURE, structure=structure,
            served_by={name: place.printers for name, place in places.items()},
        )  # fmt: skip
        self.targets = [
            Target(number=number, annex_id=self.annex_of[f"d{number}"], wave=wave.number, position=position)
            for wave in made.waves for position, number in enumerate(wave.devices)
        ]  # fmt: skip
        assert len(self.targets) == len(chosen)
        self.rollout = Rollout(
            id=1, state="running", policy=POLICY, nature=NATURE, started_at=START,
            deadline_at=START + timedelta(days=3),
        )  # fmt: skip

    def befall(self, what: str, device: str, end: str) -> None:
        name = self.annex_of[device]
        place = self.places[name]
        if what == "ends":
            self.outcomes[int(device[1:])] = Outcome(outcome=end, ended_at=self.now)
            return
        if what == "mended":
            self.mended.add(device)
            return
        self.disturbed.add(name)
        if what == "silent":
            place.silent.add(device)
        elif what == "back":
            place.silent.discard(device)
        elif what == "jams":
            place.jammed |= {of for of, seers in place.printers.items() if device in seers}
        elif what == "prints":
            place.jammed.clear()
        elif what == "people":
            place.waiting = {"residence": {"changed": 0.0, "failed": None}.get(end, 2.0)}
        elif what == "hours":
            place.is_open = not place.is_open
        elif what == "foreign" and device not in place.changing:
            self.foreign.add(device)
        elif what == "foreign_ends":
            self.foreign.discard(device)

    def arrange(self) -> None:
        """How devices stand follows from their targets."""
        states = {f"d{target.number}": target.state for target in self.targets}
        for place in self.places.values():
            place.changing = {
                of for of in place.devices if states[of] in {"running", "verifying"} or of in self.foreign
            }
            place.broken = {of for of in place.devices if states[of] in BAD and of not in self.mended}

    def seen(self) -> Seen:
        devices = {}
        for name, place in self.places.items():
            for of, role in place.devices.items():
                is_online = of not in place.silent | place.broken
                devices[int(of[1:])] = Device(
                    number=int(of[1:]), id=of, annex_id=name, role=role, is_online=is_online,
                    heard_at=self.now if is_online else None, up_since=START - timedelta(days=1),
                )  # fmt: skip
        return Seen(
            devices=devices, outcomes=self.outcomes, windows=dict.fromkeys(self.places, windows.ALWAYS),
            annexes={name: structs.replace(place.now(), annex_id=name) for name, place in self.places.items()},
            busy=frozenset(int(of[1:]) for of in self.foreign), health=self._health(),
        )  # fmt: skip

    def _health(self) -> tuple[Health, ...]:
        """Nothing is wrong with anybody: this is not about the gate."""
        return tuple(
            Health(
                number=target.number, annex_id=target.annex_id, is_changed=True, since=target.run_ended_at,
                is_online=True,
            )
            for target in self.targets if target.run_ended_at is not None and target.state in TOUCHED
        )  # fmt: skip

    def step(self) -> int:
        """The conductor's next steps, carried out and looked at; how many devices they began."""
        self.arrange()
        seen = self.seen()
        steps = conduct.steps(self.rollout, self.targets, seen, now=self.now)
        self.rollout, self.targets, verdict = applied(
            self.rollout, self.targets, steps, seen, now=self.now, run_id=self.run_id
        )
        del verdict  # it says nothing but that it soaks
        self.run_id += len(steps)
        begun = {f"d{number}" for step in steps if isinstance(step, Begin) for number in step.devices}
        for device in begun:
            self.outcomes.pop(int(device[1:]), None)
        assert not begun & self.foreign
        self.arrange()
        for name, place in self.places.items():
            self._look(name, place, begun & place.devices.keys())
        return len(begun)

    def _look(self, name: str, place: Annex, new: set[str]) -> None:
        if new:
            assert_nobody_is_missed(place, new)
            if any(place.waiting.values()) or (place.is_open and None in place.waiting.values()):
                assert not {device for device in new if place.devices[device] in AT_A_COUNTER}
        if name not in self.disturbed and place.is_open:
            touched = place.changing | place.broken
            for service in place.services:
                assert place.worth(service, touched) == place.worth(service, set()), (service, touched, place)


@st.composite
def worlds(draw) -> World:
    places = {}
    for index in range(draw(st.integers(2, 4))):
        own = draw(annexes())
        own.devices = {f"d{100 * index + int(of[1:])}": role for of, role in own.devices.items()}
        own.printers = {
            f"p{100 * index + int(of[1:])}": tuple(f"d{100 * index + int(seer[1:])}" for seer in seers)
            for of, seers in own.printers.items()
        }
        places[f"annex-{index}"] = own
    return World(places)


@settings(max_examples=examples(80), derandomize=True)
@given(st.data())
def test_no_province_plan_and_fault_sequence_violates_the_budget(data):
    world, chance = data.draw(worlds()), data.draw(st.randoms(use_true_random=False))
    devices = sorted(world.annex_of)
    for _ in range(data.draw(st.integers(10, 30))):
        world.now += timedelta(seconds=200)
        for target in world.targets:
            if target.state == "running" and chance.random() < 0.7:  # the others hang, for now
                world.befall("ends", f"d{target.number}", chance.choice(ENDS))
        for _ in range(chance.randrange(3)):
            world.befall(chance.choice(OWN), chance.choice(devices), chance.choice(ENDS))
        world.step()


def test_such_a_rollout_does_begin_and_end():
    """That nothing is harmed is worth something only where something is done."""
    place = Annex({"d1": "counter", "d2": "counter", "d3": "server"}, {}, {"residence": (NeedOf("counter", 1, 1),)})
    world = World(
        {
            "annex-0": place,
            "annex-1": Annex({"d101": "counter", "d102": "counter"}, {}, {"residence": (NeedOf("counter", 1, 1),)}),
        }
    )
    begun = 0
    for _ in range(20):
        world.now += timedelta(seconds=70)
        begun += world.step()
        for target in world.targets:
            if target.state == "running":
                world.befall("ends", f"d{target.number}", "changed")
    assert begun == 5
    assert {target.state for target in world.targets} == {"succeeded"}
    assert not beginning.held(world.rollout, world.targets, world.seen(), now=world.now)
