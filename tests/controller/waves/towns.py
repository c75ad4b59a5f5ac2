"""Provinces for rehearsals: annexes with counters, a kiosk, tablets, a server and printers."""

from random import Random

from msgspec import structs

from annexfleet_controller.readiness.model import All, Leaf, Need
from annexfleet_controller.things import Thing
from annexfleet_controller.waves.model import Candidate
from annexfleet_controller.waves.rehearsal import Setting

MODELS = {
    "counter": ("OptiPlex 3050", "OptiPlex 3080", "ProDesk 400"),
    "kiosk": ("Kiosk A2", "Kiosk B1"),
    "tablet": ("Tab Active3",),
    "server": ("PowerEdge T40",),
}
"""By role; a province has a few of each."""


def province(devices: int, annexes: int, *, seed: int = 1, fact: str = "agent_version", value: str = "1.0") -> Setting:
    """So many devices in so many annexes; each annex is served by counters, or by a kiosk where it has none."""
    draw = Random(seed)
    candidates: list[Candidate] = []
    structure, served_by = {}, {}
    for index in range(annexes):
        annex_id = f"annex-{index:03d}"
        count = devices // annexes + (index < devices % annexes)
        own = [_device(len(candidates) + place + 1, annex_id, place, draw, {fact: value}) for place in range(count)]
        candidates += own
        structure[annex_id], served_by[annex_id] = _services(annex_id, own)
    return Setting(candidates=tuple(candidates), structure=structure, served_by=served_by)


def but(setting: Setting, **changes: object) -> Setting:
    return structs.replace(setting, **changes)


def _device(number: int, annex_id: str, place: int, draw: Random, facts: dict[str, str]) -> Candidate:
    role = ("counter", "counter", "kiosk", "counter", "tablet", "counter", "server")[place % 7]
    return Candidate(
        number=number, id=f"d-{number:05d}", name=f"{role}-{place}", annex_id=annex_id, role=role,
        model=draw.choice(MODELS[role]), connected=True, facts=facts,
    )  # fmt: skip


def _services(annex_id: str, devices: list[Candidate]) -> tuple[dict[str, All], dict[str, tuple[str, ...]]]:
    counters = [of for of in devices if of.role == "counter"] or devices[:1]
    printers = {f"{annex_id}-printer-{place}": tuple(of.id for of in counters[place::2]) for place in range(2)}
    served = {printer: ids for printer, ids in printers.items() if ids}
    needs = (
        Need("counter", 1, tuple(Leaf(Thing("device", of.id), of.name, "ok") for of in counters), full=1),
        Need("print", 1, tuple(Leaf(Thing("printer", printer), printer, "ok") for printer in served), full=1),
    )
    return {"residence": All(needs)}, served
