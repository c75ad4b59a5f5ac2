"""`annexfleet rollout rehearse`: what would happen, told as a story."""

import argparse
import json
from typing import TYPE_CHECKING

from annexfleet_controller.cli import exits, mishaps
from annexfleet_controller.cli.opened import opened_engine
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from annexfleet_controller.waves.model import GateVerdict
    from annexfleet_controller.waves.rehearsal import Moment, Story

_AN_HOUR_S = 3600.0
_NOT_TOLD = "device"
"""Kind of a moment: one device's end; the tally counts them."""


def add(parser: argparse.ArgumentParser) -> None:
    """The options of a rehearsal; none rehearses a good release in a province where nothing happens."""
    mishaps.add(parser)
    parser.add_argument(
        "--ordinary", action="store_true", help="with the power cuts, lost lines and jams of an ordinary province"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed tells the same story (now %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON document with every moment and device")


def tell(home: Home, number: int, args: argparse.Namespace) -> int:
    """Rehearse a rollout and print what would happen."""
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import rehearsing
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.database import reading
    from annexfleet_controller.store.scope import WHOLE

    with opened_engine(home) as engine, reading(engine) as db:
        found = rollouts.find(db, WHOLE, number)
        story = rehearsing.rehearsed(
            db, found, WHOLE, mishaps.release(args), is_ordinary=args.ordinary, seed=args.seed, now=SYSTEM.now(),
            mishaps=mishaps.mishaps(args),
        )  # fmt: skip
    if args.json:
        import msgspec

        print(json.dumps(msgspec.to_builtins(story, str_keys=True), ensure_ascii=False, indent=2))
    else:
        _print(story)
    return exits.DONE


def _print(story: "Story") -> None:
    for moment in story.moments:
        if moment.kind != _NOT_TOLD:
            hours = (moment.at - story.started_at).total_seconds() / _AN_HOUR_S
            print(f"{hours:7.2f} h  {moment.at:%Y-%m-%d %H:%M} UTC  {_said(moment)}")
    counts = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(story.tally.items()))
    print(f"\n{story.rollout.state}: {counts or 'no device is meant'}")
    if story.stopped_at is not None:
        print(
            f"the gate would stop it after {story.touched_at_stop} devices changed, {story.begun_after_stop} after it"
        )
    if story.harmed:
        print(f"devices on which the release has its fault, begun: {len(story.harmed)}")


def _said(moment: "Moment") -> str:
    if moment.verdict is not None:
        return f"gate, wave {moment.facts.get('wave')}: {_grounds(moment.verdict)}"
    facts = ", ".join(f"{name} {value}" for name, value in moment.facts.items() if value != "")
    return f"{moment.kind.replace('_', ' ')}{f': {facts}' if facts else ''}"


def _grounds(verdict: "GateVerdict") -> str:
    return f"{verdict.word.upper()} ({', '.join(reason.code.replace('_', ' ') for reason in verdict.reasons)})"
