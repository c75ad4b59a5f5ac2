"""For whom an incident is: staff, technicians or provincial IT, by the rules of its alerts.  Thinks only."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from annexfleet_controller.errors import RuleUnknown
from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.things import Alert, Audience


def of(alerts: Iterable[Alert], rules: Ruleset, *, now: datetime) -> frozenset[Audience]:
    """The audiences of an incident's open alerts: of each rule `audience`, and `then` once `then_after_s` has passed.

    Effects add nobody as long as the cause is open: who can mend the cause is told, not who stands beside it.  An
    alert whose rule is gone is for provincial IT.
    """
    audible = [alert for alert in alerts if alert.state == "open" and alert.muted_by is None]
    causes = [alert for alert in audible if not alert.is_effect and not alert.suppressed_by] or audible
    found: set[Audience] = set()
    for alert in causes:
        try:
            rule = rules.rule(alert.rule_id, alert.annex_id)
        except RuleUnknown:
            found.add("it")
            continue
        found.update(rule.audience)
        opened_at = alert.opened_at or alert.since
        if rule.then and now - opened_at >= timedelta(seconds=rule.then_after_s):
            found.update(rule.then)
    return frozenset(found)
