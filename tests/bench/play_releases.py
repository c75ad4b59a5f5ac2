"""Rehearses releases in parts and keeps what became of each, so that hundreds can be gathered beside other work.

`python -m tests.bench.play_releases OUT --kind bad --since 0 --until 50 [--preset evening]` appends a line of JSON for
each release to OUT; `python -m tests.bench.play_releases OUT` tells what all lines together come to.
"""

import argparse
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct
from tests.bench.releases import Case, bad, good, is_in_canary, played, unseen_kinds

from annexfleet_controller.waves.documents import PRESETS
from annexfleet_controller.waves.rehearsal import Story


class Row(Struct, frozen=True, kw_only=True):
    """What became of one release."""

    index: int
    kind: str
    preset: str
    devices: int
    bar: int
    """max(2, 5 % of the devices)."""
    in_canary: bool
    """Whether the first wave held a device that the release harms."""
    is_stopped: bool
    is_done: bool
    touched: int
    harmed: int
    after_stop: int
    hours: float = 0.0
    """From the start to STOP."""
    lag_s: float = 0.0
    """From the last evidence to STOP."""
    wave: int = 0
    least_touched: int = 0
    """So many devices must be touched, in the worst case, before one of each model or annex has been."""
    codes: tuple[str, ...] = ()
    """Of the last verdict."""


def row(index: int, case: Case, story: Story, preset: str = "careful") -> Row:
    stopped_at, evidence_at = story.stopped_at, story.evidence_at
    verdict = story.last_verdict
    return Row(
        index=index, kind=case.kind, preset=preset, devices=case.target_count, bar=case.most_touched,
        in_canary=is_in_canary(story), is_stopped=stopped_at is not None, is_done=story.rollout.state == "done",
        touched=story.touched_at_stop if stopped_at else story.touched, harmed=len(story.harmed),
        after_stop=story.begun_after_stop,
        hours=(stopped_at - story.started_at).total_seconds() / 3600 if stopped_at else 0.0,
        lag_s=(stopped_at - evidence_at).total_seconds() if stopped_at and evidence_at else 0.0,
        wave=story.rollout.wave, least_touched=unseen_kinds(case),
        codes=tuple(reason.code for reason in verdict.reasons) if verdict else (),
    )  # fmt: skip


def table(rows: Iterable[Row]) -> str:
    """Figures by preset, kind, and whether the canary held a device that is harmed."""
    groups: dict[tuple[str, str, bool], list[Row]] = {}
    for one in rows:
        groups.setdefault((one.preset, one.kind, one.in_canary), []).append(one)
    lines = [_line(*key, of) for key, of in sorted(groups.items())]
    return "\n".join(lines)


def _line(preset: str, kind: str, in_canary: bool, of: Sequence[Row]) -> str:
    stopped = [one for one in of if one.is_stopped]
    where = "good" if kind == "good" else "in canary" if in_canary else "not in it"
    hours = f"{median(one.hours for one in stopped):5.1f}/{max(one.hours for one in stopped):5.1f}" if stopped else ""
    touched, harmed = sum(one.touched <= one.bar for one in of), sum(one.harmed <= one.bar for one in of)
    return (
        f"{preset:8} {kind:18} {where:9} {len(of):3} releases, stopped {len(stopped):3}, done "
        f"{sum(one.is_done for one in of):3}, touched within the bar {touched:3} (most "
        f"{max(one.touched / one.devices for one in of):.0%}), harmed within it {harmed:3} (most "
        f"{max(one.harmed for one in of)}), hours to STOP {hours}, after evidence "
        f"{max(one.lag_s for one in of):.1f} s, begun after {sum(one.after_stop for one in of)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--kind", choices=("bad", "good"))
    parser.add_argument("--since", type=int, default=0)
    parser.add_argument("--until", type=int, default=200)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="careful")
    args = parser.parse_args()
    if args.kind is None:
        print(table(msgspec.json.decode(line, type=Row) for line in args.out.read_bytes().splitlines()))
        return
    cases = (bad if args.kind == "bad" else good)(args.until)
    with args.out.open("ab") as out:
        for index, case in islice(enumerate(cases), args.since, None):
            told = row(index, case, played(case, PRESETS[args.preset]), args.preset)
            out.write(msgspec.json.encode(told) + b"\n")
            out.flush()


if __name__ == "__main__":
    main()
