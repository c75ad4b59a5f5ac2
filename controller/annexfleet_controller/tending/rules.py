"""Rules, as the province and its annexes change them.  Every function works in the caller's transaction."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from annexfleet_controller.rules.ruleset import Override, encode
from annexfleet_controller.store import rules
from annexfleet_controller.store.audit import Fact
from annexfleet_controller.store.undoing import Step
from annexfleet_controller.tending.trace import Hand, note


def change(
    db: Session, hand: Hand, scope: str, rule_id: str, document: object, *, version: int | None, now: datetime
) -> Override:  # fmt: skip
    """What is told replaces what an annex (empty: the province) changed of a rule before.

    Raises what `store.rules.put` does; what changes nothing leaves no trace.
    """
    was = stands(db, scope, rule_id)
    override = rules.put(db, scope, rule_id, document, version=version, by=hand.name, now=now)
    _note(db, hand, "rule.change", (scope, rule_id), was, now=now, facts={"document": encode(override)})
    return override


def reset(
    db: Session, hand: Hand, scope: str, rule_id: str, *, version: int | None = None, now: datetime
) -> bool:  # fmt: skip
    """An annex follows the province again, the province the defaults; whether there was anything to take back.

    Raises RuleUnknown, and RuleChanged if it is not that of `version` any more.
    """
    rules.ruleset(db).rule(rule_id)
    was = stands(db, scope, rule_id)
    removed = rules.remove(db, scope, rule_id, version=version)
    _note(db, hand, "rule.reset", (scope, rule_id), was, now=now, facts={})
    return removed


def stands(db: Session, scope: str, rule_id: str) -> list[Any]:
    """What is kept of a rule here, and when it was written: text, version and moment; empty where nothing is."""
    kept = rules.kept(db, scope).get(rule_id)
    if kept is None:
        return []
    text = rules.document(db, scope, rule_id)
    return [text, kept.version, kept.updated_at.isoformat() if kept.updated_at else ""]


def put_back(db: Session, step: Step, *, by: str, now: datetime) -> None:
    """What was there before the act; that nobody changed it since is the caller's matter.

    Raises RuleWrong where it cannot be any more, since another change that it rests on was made meanwhile.
    """
    was, rule_id = step.before["was"], step.subject.partition(":")[2]
    if was:
        rules.put(db, step.annex_id, rule_id, json.loads(was[0]), version=None, by=by, now=now)
    else:
        rules.remove(db, step.annex_id, rule_id)


def _note(
    db: Session, hand: Hand, act: str, of: tuple[str, str], was: list[Any], *, now: datetime,
    facts: Mapping[str, Fact],
) -> None:  # fmt: skip
    scope, rule_id = of
    left = stands(db, scope, rule_id)
    if left[:1] != was[:1]:
        note(
            db, hand, act, f"rule:{rule_id}", now=now, annex_id=scope, facts=facts,
            before={"was": was, "left": left},
        )  # fmt: skip
