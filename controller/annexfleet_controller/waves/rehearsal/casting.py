"""Who plays in a rehearsal: every device with its cuts, losses and evenings, drawn from the script's seed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from random import Random

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.waves.model import Candidate
from annexfleet_controller.waves.rehearsal.machines import Machine, Spell, log_uniform, poisson
from annexfleet_controller.waves.rehearsal.script import Background, Mishap, Script

WEEK_S, DAY_S = 604_800.0, 86_400.0
_BOOTED_AFTER_S = 120.0


def cast(
    devices: Sequence[Candidate], calendars: Mapping[str, Calendar], script: Script, *, start: float, end: float,
    meant: Collection[int] | None = None,
) -> dict[int, Machine]:  # fmt: skip
    """All devices by number, with what befalls them from a day before the start to a day after the end.

    `meant`: those among whom a mishap's are drawn; None: all.
    """
    since, until = start - DAY_S, end + DAY_S
    spells = background_spells(
        sorted(calendars), devices, calendars, script.background, since=since, until=until, seed=script.seed
    )
    for place, mishap in enumerate(script.mishaps):
        begins = start + mishap.at_s
        spell = Spell(begins, begins + mishap.lasts_s, in_order=mishap.kind == "off")
        own = [of for of in devices if meant is None or of.number in meant]
        numbers, annexes = struck(mishap, own, Random(f"mishap:{script.seed}:{place}"))  # noqa: S311
        for of in devices:
            if of.number in numbers or of.annex_id in annexes:
                spells[of.number].append(spell)
    found = {}
    for of in devices:
        machine = Machine(of, calendars[of.annex_id], spells[of.number], seed=script.seed)
        machine.live(script.background, since, until)
        found[of.number] = machine
    return found


def struck(mishap: Mishap, among: Sequence[Candidate], draw: Random) -> tuple[set[int], set[str]]:
    """The devices by number, and the annexes, that a mishap befalls."""
    numbers, annexes = {mishap.device} - {0}, {mishap.annex} - {""}
    if not numbers and not annexes and mishap.count:
        if mishap.kind == "power":
            places = sorted({of.annex_id for of in among})
            annexes = set(draw.sample(places, min(mishap.count, len(places))))
        else:
            found = sorted(of.number for of in among)
            numbers = set(draw.sample(found, min(mishap.count, len(found))))
    return numbers, annexes


def background_spells(
    annexes: Sequence[str], devices: Sequence[Candidate], calendars: Mapping[str, Calendar], background: Background,
    *, since: float, until: float, seed: int,
) -> dict[int, list[Spell]]:  # fmt: skip
    """Cuts, losses and evenings of every device, by number."""
    found: dict[int, list[Spell]] = {of.number: [] for of in devices}
    cuts = {}
    for annex_id in annexes:
        draw = Random(f"cuts:{seed}:{annex_id}")  # noqa: S311
        cuts[annex_id] = [
            (at, at + 60 * log_uniform(draw, background.power_cut_minutes))
            for at in poisson(draw, background.power_cuts_of_annex_a_week / WEEK_S, since, until)
        ]
    for of in devices:
        draw = Random(f"spells:{seed}:{of.id}")  # noqa: S311
        own = found[of.number]
        own += [Spell(start, end + draw.uniform(30, _BOOTED_AFTER_S)) for start, end in cuts[of.annex_id]]
        own += [
            Spell(at, at + 60 * log_uniform(draw, background.link_loss_minutes))
            for at in poisson(draw, background.link_losses_of_device_a_week / WEEK_S, since, until)
        ]
        if of.role in {"counter", "kiosk"} and draw.random() < background.switched_off_ratio:
            own += _evenings(calendars[of.annex_id], draw, since, until)
    return found


def _evenings(calendar: Calendar, draw: Random, since: float, until: float) -> Iterator[Spell]:
    spans = calendar.spans(_moment(since - 4 * DAY_S), _moment(until + 4 * DAY_S))
    for (_, closes_at), (opens_at, _) in pairwise(spans):
        start = closes_at.timestamp() + draw.uniform(-300, 2400)
        yield Spell(start, opens_at.timestamp() - draw.uniform(0, 1800), in_order=True)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
