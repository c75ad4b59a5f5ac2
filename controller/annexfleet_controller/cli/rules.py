"""`annexfleet rules`: which rules count where, changing them, and trying one on the past."""

import argparse
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from annexfleet_controller import zones
from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import console_user, opened, opened_engine
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import Invalid, RuleWrong
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from annexfleet_controller.alerts.replay import Firing, Place
    from annexfleet_controller.rules.model import Rule

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])")
LONGEST_TRY = timedelta(days=90)
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    rules = commands.add_parser("rules", help="list and change alert rules, and try one on the past")
    actions = rules.add_subparsers(required=True, metavar="ACTION")
    list_ = actions.add_parser("list", help="all rules as they count")
    list_.add_argument("--annex", default="", help="in this annex instead of the province")
    list_.set_defaults(run=_list)
    show = actions.add_parser("show", help="everything of one rule")
    show.add_argument("rule", help="its id, such as disk.low")
    show.add_argument("--annex", default="", help="in this annex instead of the province")
    show.set_defaults(run=_show)
    change = actions.add_parser(
        "set",
        help="change a rule",
        description="Thresholds are told in the unit of their metric (shares from 0 to 1, bytes, seconds), times as "
        "10m, 2h or seconds. What was changed before and is not named stays changed.",
    )
    change.add_argument("rule", help="its id, such as disk.low")
    change.add_argument("changes", nargs="+", metavar="NAME=VALUE", help="used=0.9, for=10m, severity=info, enabled=no")
    change.add_argument("--annex", default="", help="for this annex instead of the province")
    change.set_defaults(run=_set)
    reset = actions.add_parser("reset", help="take back what was changed of a rule")
    reset.add_argument("rule", help="its id, such as disk.low")
    reset.add_argument("--annex", default="", help="for this annex instead of the province")
    reset.set_defaults(run=_reset)
    try_ = actions.add_parser("try", help="when a rule would have fired")
    try_.add_argument("--rule", required=True, help="its id, such as disk.low")
    try_.add_argument("--since", default="7d", help="7d, 24h, 90m, or a day such as 2026-11-20 (%(default)s)")
    try_.add_argument("--annex", default="", help="only in this annex")
    try_.add_argument("--device", default="", help="only by the word of this device: d-...")
    try_.add_argument(
        "--level",
        dest="changes",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="with another threshold or time",
    )
    try_.set_defaults(run=_try)


# -- as they count ----------------------------------------------------------------------------------------------------


def _list(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import rules

    with opened(home) as db:
        _check_annex(db, args.annex)
        ruleset, changed = rules.ruleset(db), rules.kept(db, args.annex)
    for rule in ruleset.rules(args.annex):
        levels = " ".join(f"{name}={level:g}" for name, level in rule.levels.items())
        state = "off" if not rule.enabled else "changed" if rule.id in changed else ""
        hours = " open" if rule.only_open else ""
        print(f"{rule.id:24} {rule.severity:9} {_span(rule.for_s) + hours:11} {state:8} {levels}".rstrip())
    for problem in ruleset.problems:
        where = problem.scope or "the province"
        print(f"does not count: {problem.rule_id} of {where}, {problem.field or 'as a whole'}: {problem.reason}")
    return exits.DONE


def _show(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.rules.check import uses
    from annexfleet_controller.store import rules

    with opened(home) as db:
        _check_annex(db, args.annex)
        ruleset, kept = rules.ruleset(db), rules.kept(db, args.annex).get(args.rule)
    rule, default = ruleset.rule(args.rule, args.annex), ruleset.default(args.rule)
    print(f"{rule.id}  about {rule.subject}  cause {rule.cause or 'as the printer tells'}")
    for use in dict.fromkeys(uses(rule)):
        level, usual = rule.levels[use.level], default.levels[use.level]
        by_default = "" if level == usual else f"  (by default {usual:g})"
        print(f"  {use.where:9} {use.metric} {use.comparison} {use.level}={level:g}{by_default}")
    for name in ("enabled", "severity", "samples", "only_open"):
        print(f"  {name} = {getattr(rule, name)}")
    for name in ("for_s", "clear_for_s", "opening_grace_s", "then_after_s"):
        print(f"  {name} = {getattr(rule, name):g}  ({_span(getattr(rule, name))})")
    for role, for_s in rule.for_s_by_role.items():
        print(f"  for.{role} = {for_s:g}  ({_span(for_s)})")
    print(f"  audience = {','.join(rule.audience)}" + (f", then {','.join(rule.then)}" if rule.then else ""))
    if rule.mutes:
        print(f"  explains {', '.join(rule.mutes)}")
    if kept is not None and kept.updated_at is not None:
        print(f"  changed by {kept.updated_by} {kept.updated_at:%Y-%m-%d %H:%M} UTC")
    return exits.DONE


# -- changing ---------------------------------------------------------------------------------------------------------


def _set(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.rules.ruleset import Override, encode
    from annexfleet_controller.store import rules
    from annexfleet_controller.tending import rules as tending
    from annexfleet_controller.tending.trace import Hand

    with opened(home) as db:
        ruleset = rules.ruleset(db)
        there = ruleset.override(args.rule, args.annex) or Override()
        document = _document(args.changes, ruleset.base(args.rule, args.annex), there)
        try:
            override = tending.change(
                db, Hand(0, console_user(), "console"), args.annex, args.rule, document, version=None, now=SYSTEM.now()
            )
        except RuleWrong as error:
            raise _said(error) from error
    print(f"{args.rule} of {args.annex or 'the province'} is changed: {encode(override)}")
    return exits.DONE


def _reset(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.tending import rules as tending
    from annexfleet_controller.tending.trace import Hand

    with opened(home) as db:
        _check_annex(db, args.annex)
        removed = tending.reset(db, Hand(0, console_user(), "console"), args.annex, args.rule, now=SYSTEM.now())
    what = "as it was" if removed else "as it was: nothing had been changed"
    print(f"{args.rule} of {args.annex or 'the province'} is {what}.")
    return exits.DONE


def _document(changes: Iterable[str], base: "Rule", there: object) -> dict[str, Any]:
    """What was changed before, with these changes."""
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(there)
    for change in changes:
        name, sign, text = change.partition("=")
        if not sign or not name or not text:
            raise Invalid(f"{change!r} is not NAME=VALUE, such as used=0.9", field="changes")
        if name in {"levels", "for_s_by_role"}:
            raise Invalid(f"{name} has parts, such as used=0.9 or for.tablet=2h", field="changes")
        if name in base.levels:
            document.setdefault("levels", {})[name] = _number(text)
        elif name.startswith("for."):
            document.setdefault("for_s_by_role", {})[name.removeprefix("for.")] = _number(text)
        else:
            document["for_s" if name == "for" else name] = _value(name, text)
    return document


def _value(name: str, text: str) -> object:
    if name in {"audience", "then"}:
        return [one for one in text.split(",") if one]
    if name in {"enabled", "only_open"}:
        return text in _YES if text in _YES + _NO else text
    if name == "samples" and text.isdecimal():
        return int(text[:9])
    return text if name == "severity" else _number(text)


def _number(text: str) -> float | str:
    """A number, or a time with its unit in seconds; what is neither stays as it is, to be refused."""
    if span := _SPAN.fullmatch(text):
        return float(span[1]) * _UNITS[span[2]]
    try:
        return float(text)
    except ValueError:
        return text


def _said(error: RuleWrong) -> Invalid:
    bounds = "".join(f", {key} {error.facts[key]}" for key in ("low", "high", "other") if key in error.facts)
    return Invalid(f"the rule cannot be so: {error.facts['field'] or 'as a whole'}: {error.facts['reason']}{bounds}")


# -- trying -----------------------------------------------------------------------------------------------------------


def _try(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.alerts import replay
    from annexfleet_controller.store import database, rules

    now = SYSTEM.now()
    since = _since(args.since, now)
    # Reading only: on SQLite ingest would wait for a writer, and a week of a province takes a while.
    with opened_engine(home) as engine, database.reading(engine) as db:
        ruleset = rules.ruleset(db)
        replay.refuse_what_cannot_be(ruleset.rule(args.rule))
        only, annex = _device(db, args.device) if args.device else (None, args.annex)
        _check_annex(db, annex)
        beats_since = now - timedelta(days=home.settings.keep_beats_days)
        if since < beats_since:
            print(f"Numbers are kept as they came since {_moment(beats_since)}: before, only changes are replayed.")
        names: dict[int, str] = {}
        count, open_s = 0, 0.0
        for place in _places(db, annex, names):
            rule = _tried(ruleset.rule(args.rule, place.annex_id), args.changes)
            if not count and replay.metrics_of(rule.raise_when) & replay.FORECASTS:
                print("Forecasts are not replayed: this is by what was measured alone.")
            for firing in replay.replay(db, rule, place, since=since, until=now, device_number=only):
                count += 1
                open_s += ((firing.cleared_at or now) - firing.opened_at).total_seconds()
                print(_line(firing, place.annex_id, names), flush=True)
    print(f"{args.rule} would have fired {count} times since {_moment(since)}, for {_span(open_s)} in all.")
    return exits.DONE


def _since(text: str, now: datetime) -> datetime:
    """A moment from `7d` or `2026-11-20` (midnight of the province)."""
    if span := _SPAN.fullmatch(text):
        since = now - timedelta(seconds=min(float(span[1]) * _UNITS[span[2]], 1e9))
    else:
        try:
            told = datetime.fromisoformat(text)
        except ValueError:
            raise Invalid(
                f"--since {text!r} is neither a span such as 7d, 24h or 90m nor a day such as 2026-11-20"
            ) from None
        since = (told if told.tzinfo else told.replace(tzinfo=zones.PROVINCE)).astimezone(UTC)
    if not now - LONGEST_TRY <= since < now:
        raise Invalid(f"--since {text!r} must be in the past, and no more than {LONGEST_TRY.days} days ago")
    return since


def _tried(rule: "Rule", levels: list[str]) -> "Rule":
    from annexfleet_controller.rules.ruleset import Override, apply, parse_override

    if not levels:
        return rule
    try:
        return apply(parse_override(_document(levels, rule, Override()), rule), rule)
    except RuleWrong as error:
        raise _said(error) from error


def _device(db: "Session", device_id: str) -> tuple[int, str]:
    from annexfleet_controller.store import fleet
    from annexfleet_controller.store.scope import WHOLE

    row = fleet.device(db, WHOLE, device_id)
    return row.number, row.annex_id


def _places(db: "Session", annex_id: str, names: dict[int, str]) -> Iterable["Place"]:
    """The annex, or all; and the names of their devices."""
    from annexfleet_controller.alerts.replay import Place
    from annexfleet_controller.readiness.services import catalogue
    from annexfleet_controller.store import annexes, calendars, fleet, readiness
    from annexfleet_controller.store.scope import WHOLE

    hours = calendars.of_all(db)
    known, own = catalogue(readiness.own_services(db)), readiness.all_overrides(db)
    for one in [annex_id] if annex_id else [annex.id for annex in annexes.listing(db)]:
        names |= {row.number: row.name for row in fleet.devices(db, WHOLE, now=SYSTEM.now(), annex_id=one)}
        yield Place(annex_id=one, calendar=hours[one], known_services=known, own_services=own.get(one, {}))


def _check_annex(db: "Session", annex_id: str) -> None:
    from annexfleet_controller.store import annexes
    from annexfleet_controller.store.scope import WHOLE

    if annex_id:
        annexes.get(db, WHOLE, annex_id)


def _line(firing: "Firing", annex_id: str, names: dict[int, str]) -> str:
    until = _moment(firing.cleared_at) if firing.cleared_at else "until now"
    thing = f"{firing.thing.kind} {firing.thing.id}" + (f" {firing.part}" if firing.part else "")
    name = firing.facts.get("printer") or next((names[n] for n in firing.numbers[:1] if n in names), "")
    value = f"  {firing.facts['metric']} {firing.facts['value']:g}" if "value" in firing.facts else ""
    back = f"  came back {firing.returns} times" if firing.returns else ""
    return (
        f"{_moment(firing.opened_at)} - {until:16}  {firing.severity:8}  {annex_id}  {thing}"
        f"{f' ({name})' if name else ''}{f'  {firing.cause}' if firing.cause else ''}{value}{back}"
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(zones.PROVINCE):%Y-%m-%d %H:%M}"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s" if seconds < 120 else f"{seconds / 60:.0f}m" if seconds < 7200 else f"{seconds / 3600:.1f}h"
