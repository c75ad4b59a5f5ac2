"""Everything that people read of rules has words in every language."""

from itertools import product

import pytest

from annexfleet_agent.protocol import metrics
from annexfleet_controller.i18n.catalogues import CODES, language
from annexfleet_controller.rules import check
from annexfleet_controller.rules.defaults import default_rules
from annexfleet_controller.rules.model import SUBJECT_KINDS
from annexfleet_controller.things import AUDIENCES
from annexfleet_controller.web.pages.rule_form import TIMES, filled

COMPARISONS = ("above", "at_least", "below", "at_most")
RULES = default_rules().values()
USES = [use for rule in RULES for use in check.uses(rule)]
FORMS = [filled(rule, rule, rule) for rule in RULES]

WORDS = {
    "rule": [rule.id for rule in RULES],
    "rule_subject": SUBJECT_KINDS,
    "rule_audience": AUDIENCES,
    "rule_reason": check.REASONS,
    "rule_field": (*TIMES, "samples", "for_s_by_role %(role)s"),
    "rule_unit": sorted({number.unit for form in FORMS for number in (*form.levels, *form.times)}),
    "level": [
        *sorted({use.metric for use in USES} - set(metrics.CATALOGUE)),
        *(f"{comparison} %(amount)s" for comparison in COMPARISONS),
        *(f"{where} {one}" for where, one in product(("raise", "guard", "clear", "warning", "critical"), COMPARISONS)),
    ],
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", WORDS)
def test_words(code: str, kind: str):
    assert [name for name in WORDS[kind] if not language(code).knows(kind, name)] == []
