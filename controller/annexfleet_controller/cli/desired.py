"""`annexfleet desired`: what devices shall be like, decided, looked at and repaired from the controller's console."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annexfleet_controller.cli import desired_text, exits
from annexfleet_controller.cli.opened import opened
from annexfleet_controller.cli.rollout_acts import asker
from annexfleet_controller.errors import Invalid
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from annexfleet_controller.desired.resolve import Layer
    from annexfleet_controller.store.desired import Version
    from annexfleet_controller.store.desired_drift import Kept

_LAYER = "province, role:NAME, annex:ID or device:ID"
_SHOWN = 30


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "what devices shall be like: agent settings, portal checks, print queues and packages, in layers"
    actions = commands.add_parser("desired", help=about).add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("show", help="a layer's document as `set` takes it; without a layer, which ones decide")
    show.add_argument("layer", nargs="?", default="", help=_LAYER)
    show.set_defaults(run=_show)
    set_ = actions.add_parser("set", help="decide for a layer: the whole document; reaches no device without a repair")
    set_.add_argument("layer", help=_LAYER)
    set_.add_argument("file", help="JSON, or TOML whose `taken_away` names what null takes away; - is standard input")
    _add_deciding(set_)
    set_.set_defaults(run=_set)
    history = actions.add_parser("history", help="every version of a layer, the newest first")
    history.add_argument("layer", help=_LAYER)
    history.add_argument("--limit", type=int, default=_SHOWN, help="at most so many (now %(default)s)")
    history.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    history.set_defaults(run=_history)
    diff = actions.add_parser("diff", help="what differs between two versions; by default what the newest changed")
    diff.add_argument("layer", help=_LAYER)
    diff.add_argument("before", nargs="?", type=_version, help="0 is empty")
    diff.add_argument("after", nargs="?", type=_version, help="by default as it counts now")
    diff.set_defaults(run=_diff)
    back = actions.add_parser("take-back", help="let an earlier version's content count again, as a new version")
    back.add_argument("layer", help=_LAYER)
    back.add_argument("to", type=_version, help="that version; 0: the layer decides nothing any more")
    _add_deciding(back)
    back.set_defaults(run=_take_back)
    _add_drift(actions)


def _add_drift(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    drift = actions.add_parser("drift", help="which devices differ from what is wanted of them, and in what")
    drift.add_argument("--annex", default="", metavar="ID", help="only of this one")
    drift.add_argument("--device", default="", metavar="ID", help="all of one device, compared now")
    drift.add_argument("--unknown", action="store_true", help="also those of which nobody knows")
    drift.add_argument("--limit", type=int, default=1000, help="at most so many devices (now %(default)s)")
    drift.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    drift.set_defaults(run=_drift)
    repair = actions.add_parser("repair", help="a draft of a rollout for exactly the devices that differ")
    repair.add_argument("--name", default="", help="what the rollout is called")
    repair.add_argument("--annex", action="append", default=[], metavar="ID", help="only of this one; may be repeated")
    repair.add_argument("--device", action="append", default=[], metavar="ID", help="only this one; may be repeated")
    repair.add_argument("--unknown", action="store_true", help="also those of which nobody knows")
    repair.add_argument("--reason", default="", help="why, for those who read its story")
    repair.set_defaults(run=_repair)


def _add_deciding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="", help="why, for those who read its history")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--version", type=_version, metavar="N", help="refuse where somebody decided since `history` told this version"
    )


def _version(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**31 - 1:
        raise argparse.ArgumentTypeError(f"no version: {text}")
    return number


def _layer(text: str) -> "Layer":
    """Raises Invalid."""
    from annexfleet_controller.desired.resolve import LAYER_KINDS, Layer

    kind, _, of = text.partition(":")
    if kind not in LAYER_KINDS or (kind == "province") != (of == ""):
        raise Invalid(f"no layer {text!r}: it is {_LAYER}", field="layer")
    return Layer(kind, of)


# -- layers


def _show(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.desired.document import written
    from annexfleet_controller.store import desired
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        if not args.layer:
            for one in desired.deciding(db, WHOLE):
                print(f"{_name(one.layer):40} version {one.version}, {len(one.document.entries)} entries")
            return exits.DONE
        layer = _layer(args.layer)
        desired.demand_layer(db, WHOLE, layer)
        kept = desired.get(db, layer)
    print(json.dumps(written(kept.document), ensure_ascii=False, indent=2))
    print(f"version {kept.version}", file=sys.stderr)
    return exits.DONE


def _set(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.desired.document import parse
    from annexfleet_controller.rollouts import deciding
    from annexfleet_controller.store import desired

    layer = _layer(args.layer)
    if args.file == "-" and not args.yes:
        raise Invalid("nobody can be asked where the document comes from standard input: add --yes", field="yes")
    document = parse(desired_text.read(_text(args.file), is_toml=args.file.endswith(".toml")))
    with opened(home) as db:
        found = deciding.preview(db, layer, document, asker())
        version = desired.get(db, layer).version if args.version is None else args.version
    if not found.changes:
        print("it is decided already")
        return exits.DONE
    desired_text.tell_changes(found.changes)
    if not _is_wanted(args, len(found.touched)):
        return exits.FAILED
    with opened(home) as db:
        _tell_decided(
            deciding.decide(db, layer, document, asker(), version=version, reason=args.reason, now=SYSTEM.now())
        )
    return exits.DONE


def _take_back(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import deciding
    from annexfleet_controller.store import desired

    layer = _layer(args.layer)
    with opened(home) as db:
        found = deciding.preview(db, layer, desired.at_version(db, layer, args.to).document, asker())
        version = desired.get(db, layer).version if args.version is None else args.version
    if not found.changes:
        print("it says the same already")
        return exits.DONE
    desired_text.tell_changes(found.changes)
    if not _is_wanted(args, len(found.touched)):
        return exits.FAILED
    with opened(home) as db:
        kept = deciding.take_back(
            db, layer, args.to, asker(), version=version, reason=args.reason, now=SYSTEM.now()
        )  # fmt: skip
        _tell_decided(kept)
    return exits.DONE


def _history(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.desired.document import written
    from annexfleet_controller.rollouts.masking import plain
    from annexfleet_controller.store import desired
    from annexfleet_controller.store.scope import WHOLE

    layer = _layer(args.layer)
    with opened(home) as db:
        desired.demand_layer(db, WHOLE, layer)
        found = desired.history(db, layer, limit=max(1, min(args.limit, 1000)))
    if args.json:
        items: list[dict[str, Any]] = [
            {
                "version": one.version, "revision": one.revision, "at": str(one.at), "by": one.by,
                "reason": one.reason, "takes_back_to": one.takes_back_to, "document": written(one.document),
            }
            for one in found
        ]  # fmt: skip
        print(json.dumps({"items": items}, ensure_ascii=False, indent=2))
        return exits.DONE
    for one in found:
        back = "" if one.takes_back_to is None else f"  as version {one.takes_back_to}"
        print(f"{one.version:6} {one.at:%Y-%m-%d %H:%M} UTC  {plain(one.by)}  {plain(one.reason)}{back}")
    return exits.DONE


def _diff(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.desired.compare import compare
    from annexfleet_controller.store import desired
    from annexfleet_controller.store.scope import WHOLE

    layer = _layer(args.layer)
    with opened(home) as db:
        desired.demand_layer(db, WHOLE, layer)
        newest = desired.get(db, layer)
        after = newest if args.after is None else desired.at_version(db, layer, args.after)
        number = max(0, after.version - 1) if args.before is None else args.before
        before = desired.at_version(db, layer, number)
    desired_text.tell_changes(compare(before.document, after.document))
    return exits.DONE


def _text(file: str) -> str:
    """Raises Invalid, and OSError."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"{file} is no text", field="document") from None


def _is_wanted(args: argparse.Namespace, count: int) -> bool:
    if args.yes:
        return True
    print(f"Of {count} devices something else would be wanted. Decide so? [y/N] ", end="", flush=True)
    try:
        answer = input()
    except EOFError:
        answer = ""
    if answer.strip().lower() in {"y", "yes"}:
        return True
    print("nothing was decided")
    return False


def _tell_decided(kept: "Version") -> None:
    print(
        f"{_name(kept.layer)} has version {kept.version}, revision {kept.revision}; no device was told: "
        "`annexfleet desired repair` makes the draft of a rollout"
    )


def _name(layer: "Layer") -> str:
    return f"{layer.kind}:{layer.of}" if layer.of else layer.kind


# -- devices


def _drift(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.desired.drift import Standing
    from annexfleet_controller.store import annexes, desired_drift
    from annexfleet_controller.store.scope import WHOLE

    if args.device:
        return _of_device(home, args)
    standings: list[Standing] = ["differs", "unknown"] if args.unknown else ["differs"]
    with opened(home) as db:
        if args.annex:
            annexes.get(db, WHOLE, args.annex)
        tally = desired_drift.tally(db, WHOLE, annex=args.annex)
        found = desired_drift.listing(
            db, WHOLE, standings, annex=args.annex, limit=max(1, min(args.limit, 50_000))
        )  # fmt: skip
        as_of = desired_drift.as_of(db)
    if args.json:
        import msgspec

        told = {"as_of": as_of, "tally": tally, "items": found}
        print(json.dumps(msgspec.to_builtins(told), ensure_ascii=False, indent=2))
        return exits.DONE
    for one in found:
        _tell_device(one)
    counts = ", ".join(f"{count} {standing}" for standing, count in tally.items())
    print(f"{counts}; " + (f"as of {as_of:%Y-%m-%d %H:%M:%S} UTC" if as_of else "not compared yet"))
    return exits.DONE


def _of_device(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.errors import DeviceUnknown
    from annexfleet_controller.rollouts import wanting
    from annexfleet_controller.store import fleet
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        numbers = fleet.numbers(db, WHOLE, [args.device])
        found = wanting.standings(db, WHOLE, numbers=numbers) if numbers else []
    if not found:
        raise DeviceUnknown(f"no device {args.device[:40]!r}")
    if args.json:
        import msgspec

        told = {"device": args.device, "standing": found[0].drift.standing, "findings": found[0].drift.findings}
        print(json.dumps(msgspec.to_builtins(told), ensure_ascii=False, indent=2))
        return exits.DONE
    for finding in found[0].drift.findings:
        of = f"  ({_name(finding.layer)})" if finding.layer else ""
        print(f"{desired_text.finding(finding)}{of}")
    print(found[0].drift.standing)
    return exits.DONE


def _tell_device(one: "Kept") -> None:
    from annexfleet_controller.rollouts.masking import plain

    print(f"{one.standing:8} {one.id}  {plain(one.name)}  {one.annex_id}" + ("" if one.compared_at else "  not yet"))
    for finding in one.findings:
        print(f"         {desired_text.finding(finding)}")


def _repair(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import repairing
    from annexfleet_controller.store import desired, rollouts
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        made = repairing.repair(
            db, home, asker(), name=args.name or f"Repair to revision {desired.newest(db)}", annexes=args.annex,
            devices=args.device, with_unknown=args.unknown, reason=args.reason, now=SYSTEM.now(),
        )  # fmt: skip
        draft = rollouts.find(db, WHOLE, made)
    print(
        f"draft {draft.id}, version {draft.version}, {draft.target_count} devices; "
        f"`annexfleet rollout submit {draft.id}` freezes it"
    )
    return exits.DONE
