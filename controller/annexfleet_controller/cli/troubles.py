"""`annexfleet incidents` and `annexfleet alerts`: what is wrong, as plain tables or as JSON for programs."""

import argparse
import json
from typing import Any

from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import opened
from annexfleet_controller.settings import Home
from annexfleet_controller.things import Alert, Incident

_AT_MOST = 500


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    incidents = commands.add_parser("incidents", help="list incidents: alerts with one cause")
    actions = incidents.add_subparsers(required=True, metavar="ACTION")
    list_ = actions.add_parser("list", help="those first that hold up most people")
    list_.add_argument("--state", choices=("open", "resolved", "all"), default="open", help="(now %(default)s)")
    _add_filters(list_)
    list_.set_defaults(run=_incidents)
    alerts = commands.add_parser("alerts", help="list alerts: what is wrong with which thing")
    actions = alerts.add_subparsers(required=True, metavar="ACTION")
    list_ = actions.add_parser("list", help="those first that opened last")
    list_.add_argument(
        "--state", choices=("pending", "open", "cleared", "all"), default="open", help="(now %(default)s)"
    )
    _add_filters(list_)
    list_.set_defaults(run=_alerts)


def _add_filters(list_: argparse.ArgumentParser) -> None:
    list_.add_argument("--annex", default="", help="only those of this annex")
    list_.add_argument("--json", action="store_true", help="one JSON document instead of a table")


def _incidents(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.alerts import dossier, words
    from annexfleet_controller.i18n.catalogues import language
    from annexfleet_controller.i18n.direction import plain
    from annexfleet_controller.store import incidents
    from annexfleet_controller.store.scope import WHOLE

    state = "" if args.state == "all" else args.state
    with opened(home) as db:
        found = incidents.listing(db, WHOLE, state=state, annex_id=args.annex, limit=_AT_MOST)
        lines = dossier.lines(db, WHOLE, found, words.read(db, language("en")))
    if args.json:
        told = [_incident(one.incident, plain(one.words.title), one.reason) for one in lines]
        print(json.dumps({"items": told}, ensure_ascii=False, indent=2))
        return exits.DONE
    for one in lines:
        of = one.incident
        place = of.annex_id or ",".join(of.annexes) or "-"
        who = f"  [{of.acknowledged_by}]" if of.acknowledged_by else ""
        print(
            f"{of.id:6} {of.severity:8} {of.state:8} {of.kind:22} {place:16} since {of.began_at:%Y-%m-%d %H:%M} UTC  "
            f"{plain(one.words.title)}; {one.reason}{plain(who)}"
        )
    return exits.DONE


def _alerts(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.alerts import words
    from annexfleet_controller.i18n.catalogues import language
    from annexfleet_controller.i18n.direction import plain
    from annexfleet_controller.store import alerts
    from annexfleet_controller.store.scope import WHOLE

    states = ("pending", "open", "cleared") if args.state == "all" else (args.state,)
    with opened(home) as db:
        found = alerts.listing(db, WHOLE, states=states, annex_id=args.annex, limit=_AT_MOST)
        say = words.read(db, language("en"))
    if args.json:
        told = [_alert(one, plain(say.alert(one).title)) for one in found]
        print(json.dumps({"items": told}, ensure_ascii=False, indent=2))
        return exits.DONE
    for one in found:
        who = f"  [{one.acknowledged_by}]" if one.acknowledged_by else ""
        print(
            f"{one.id:6} {one.severity:8} {one.state:8} {one.rule_id:22} {one.annex_id or '-':16} "
            f"since {one.since:%Y-%m-%d %H:%M} UTC  {plain(say.alert(one).title)}{plain(who)}"
        )
    return exits.DONE


def _incident(of: Incident, title: str, reason: str) -> dict[str, Any]:
    return {
        "id": of.id, "kind": of.kind, "cause": of.cause, "title": title, "annexes": list(of.annexes),
        "thing": {"kind": of.thing.kind, "id": of.thing.id}, "state": of.state, "severity": of.severity,
        "began_at": of.began_at.isoformat(), "opened_at": of.opened_at.isoformat(),
        "resolved_at": of.resolved_at.isoformat() if of.resolved_at else None, "acknowledged_by": of.acknowledged_by,
        "muted": of.muted, "score": of.rank.score, "reason": reason,
    }  # fmt: skip


def _alert(of: Alert, title: str) -> dict[str, Any]:
    return {
        "id": of.id, "rule": of.rule_id, "cause": of.cause, "title": title, "annex": of.annex_id,
        "thing": {"kind": of.thing.kind, "id": of.thing.id}, "part": of.part, "state": of.state,
        "severity": of.severity, "since": of.since.isoformat(),
        "cleared_at": of.cleared_at.isoformat() if of.cleared_at else None, "acknowledged_by": of.acknowledged_by,
        "incident": of.incident_id, "is_effect": of.is_effect,
    }  # fmt: skip
