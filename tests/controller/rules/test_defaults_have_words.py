"""Whatever the default rules conclude, there are words for it."""

import pytest

from annexfleet_controller.i18n.catalogues import CODES, language
from annexfleet_controller.i18n.guidance import has_guidance
from annexfleet_controller.rules.defaults import default_rules


@pytest.mark.parametrize("rule_id", sorted(default_rules()))
def test_a_default_rule_has_a_name_and_its_cause_a_text(rule_id: str):
    rule = default_rules()[rule_id]

    assert all(language(code).knows("rule", rule_id) for code in CODES)
    assert not rule.cause or has_guidance(rule.cause)
