"""Generated annexes, what befalls them while a rollout goes on, and how their services then really stand.

`Annex.worth` counts for itself and shares no code with readiness or the budget, so that a mistake there is not repeated
here.
"""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from annexfleet_controller.readiness.model import All, Leaf, Need
from annexfleet_controller.things import Thing
from annexfleet_controller.waves.budget import AnnexNow
from annexfleet_controller.waves.model import Candidate

CAPABILITIES = ("counter", "kiosk", "tablet", "print")


@dataclass(frozen=True)
class NeedOf:
    capability: str
    at_least: int
    full: int | None


@dataclass
class Annex:
    """One annex: what it has, what its services need, and how everything is at this moment."""

    devices: dict[str, str]
    """Role by id."""
    printers: dict[str, tuple[str, ...]]
    """Ids of the devices that see it, by id."""
    services: dict[str, tuple[NeedOf, ...]]
    is_open: bool = True
    waiting: dict[str, float | None] = field(default_factory=lambda: {"residence": 0.0})
    silent: set[str] = field(default_factory=set)
    """Devices that are off for reasons of their own."""
    unsure: set[str] = field(default_factory=set)
    """Of these, those of which nobody knows whether they work on."""
    jammed: set[str] = field(default_factory=set)
    """Printers that fail for reasons of their own."""
    changing: set[str] = field(default_factory=set)
    quiet: set[str] = field(default_factory=set)
    """Devices whose agent starts anew, say: nobody hears of them while they are changed."""
    broken: set[str] = field(default_factory=set)
    """Devices that a rollout left of no use."""

    # -- how it is

    def members(self, need: NeedOf) -> list[str]:
        if need.capability == "print":
            return sorted(self.printers)
        return sorted(device for device, role in self.devices.items() if role == need.capability)

    def works(self, thing: str, off: set[str]) -> bool:
        if thing in self.devices:
            return thing not in off
        return thing not in self.jammed and not off.issuperset(self.printers[thing])

    def met(self, need: NeedOf, off: set[str]) -> int:
        """2 in full, 1 in part, 0 not: with these devices off and the printers that fail as they do."""
        members = self.members(need)
        if not members:
            return 2
        working = sum(self.works(member, off) for member in members)
        full = max(need.at_least, len(members) if need.full is None else need.full)
        return 0 if working < need.at_least else 1 if working < full else 2

    def worth(self, service: str, off: set[str]) -> int:
        """2 ready, 1 degraded, 0 blocked."""
        return min(self.met(need, off) for need in self.services[service])

    def loses(self, need: NeedOf, new: set[str], off: set[str]) -> bool:
        """Whether a need has fewer things for these devices, beside those that are off."""
        return any(self.works(of, off - new) and not self.works(of, off | new) for of in self.members(need))

    # -- how a controller sees it

    def now(self) -> AnnexNow:
        heard = set(self.devices) - self.silent - self.broken - (self.quiet & self.changing)
        made = {}
        for service, needs in self.services.items():
            made[service] = All(tuple(self._need(need, heard) for need in needs if self.members(need)))
        return AnnexNow(
            annex_id="a", trees=made, is_open=self.is_open, changing=frozenset(self.changing),
            harmed=frozenset(self.broken), away=frozenset(set(self.devices) - heard), served_by=dict(self.printers),
            waiting=dict(self.waiting),
        )  # fmt: skip

    def _need(self, need: NeedOf, heard: set[str]) -> Need:
        leaves = []
        for member in self.members(need):
            if member in self.devices:
                known = self.is_open and member not in self.unsure
                state = "ok" if member in heard else "failing" if known else "unknown"
                leaves.append(Leaf(Thing("device", member), member, state))
            else:
                seen = heard.intersection(self.printers[member])
                state = "unknown" if not seen else "failing" if member in self.jammed else "ok"
                leaves.append(Leaf(Thing("printer", member), member, state))
        return Need(need.capability, need.at_least, tuple(leaves), need.full)

    def candidates(self) -> list[Candidate]:
        """Those that can be reached."""
        away = self.silent | self.broken | self.changing
        return [candidate(int(of[1:]), role) for of, role in self.devices.items() if of not in away]


def candidate(number: int, role: str = "counter", **of) -> Candidate:
    of = {"id": f"d{number}", "name": f"{role} {number}", "annex_id": "a", "connected": True, **of}
    return Candidate(number=number, role=role, **of)


@st.composite
def annexes(draw, *, is_open: bool | None = None) -> Annex:
    roles = draw(st.lists(st.sampled_from(("counter", "counter", "kiosk", "tablet", "server")), min_size=1, max_size=7))
    devices = {f"d{number}": role for number, role in enumerate(roles, start=1)}
    seers = st.lists(st.sampled_from(sorted(devices)), min_size=1, max_size=3, unique=True)
    printers = {f"p{number}": tuple(sorted(draw(seers))) for number in range(draw(st.integers(0, 3)))}
    made = Annex(devices, printers, {})
    for name in ("residence", "legalisation", "etat-civil")[: draw(st.integers(1, 3))]:
        needs = []
        for capability in draw(st.lists(st.sampled_from(CAPABILITIES), min_size=1, max_size=3, unique=True)):
            count = len(made.members(NeedOf(capability, 1, None)))
            at_least = draw(st.integers(0, count))
            full = draw(st.none() | st.integers(at_least, max(at_least, count)))
            needs.append(NeedOf(capability, at_least, full))
        made.services[name] = tuple(needs)
    made.is_open = draw(st.booleans()) if is_open is None else is_open
    return made


def happenings(annex: Annex) -> st.SearchStrategy[list[tuple[str, object]]]:
    """What may befall it, in any order."""
    device = st.sampled_from(sorted(annex.devices))
    found = [
        st.tuples(st.just("begin"), st.permutations(sorted(annex.devices))),
        st.tuples(st.just("begin"), st.permutations(sorted(annex.devices))),
        st.tuples(
            st.sampled_from(("ends", "fails", "mended", "quiet", "falls_silent", "out_of_sight", "comes_back")), device
        ),
        st.tuples(st.just("people"), st.none() | st.integers(0, 2)),
        st.tuples(st.just("hours"), st.booleans()),
    ]
    if annex.printers:
        found.append(st.tuples(st.sampled_from(("jams", "prints")), st.sampled_from(sorted(annex.printers))))
    return st.lists(st.one_of(found), min_size=2, max_size=25)


def befall(annex: Annex, what: str, whom: object) -> None:
    """Anything but a begin."""
    match what:
        case "ends":
            annex.changing.discard(whom)
        case "fails":
            if whom in annex.changing:
                annex.changing.discard(whom)
                annex.broken.add(whom)
        case "quiet":
            annex.quiet.add(whom)
        case "mended":
            annex.broken.discard(whom)
        case "falls_silent" | "out_of_sight":
            annex.silent.add(whom)
            (annex.unsure.add if what == "out_of_sight" else annex.unsure.discard)(whom)
        case "comes_back":
            annex.silent.discard(whom)
            annex.unsure.discard(whom)
        case "jams":
            annex.jammed.add(whom)
        case "prints":
            annex.jammed.discard(whom)
        case "people":
            annex.waiting = {"residence": None if whom is None else float(whom)}
        case "hours":
            annex.is_open = bool(whom)
