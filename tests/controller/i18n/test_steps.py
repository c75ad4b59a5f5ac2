"""Whatever annex staff can end has steps, a picture, and both in every language."""

from pathlib import Path

import pytest

import annexfleet_controller
from annexfleet_controller.i18n.catalogues import CODES, language
from annexfleet_controller.i18n.guidance import CAUSES, who
from annexfleet_controller.i18n.steps import PICTURES, STEPS, message_id, picture, steps

SPRITE = Path(annexfleet_controller.__file__).parent / "web/static/pictures.svg"


def test_each_cause_that_staff_can_end_has_steps():
    assert {cause for cause in CAUSES if who(cause) == "staff"} == set(STEPS)


@pytest.mark.parametrize("code", CODES)
def test_each_step_has_words(code: str):
    words = language(code)
    wanted = [message_id(cause, number) for cause, count in STEPS.items() for number in range(1, count + 1)]

    assert [one for one in wanted if not words.knows("cause_step", one)] == []
    assert all(len(one) <= 90 for cause in STEPS for one in steps(words, cause))


def test_a_cause_without_steps_has_its_action():
    assert steps(language("en"), "portal_down")
    assert steps(language("en"), "annex_ok") == ()


def test_every_picture_is_drawn():
    drawn = SPRITE.read_text(encoding="utf-8")

    assert [one for one in PICTURES if f'id="{one}"' not in drawn] == []
    assert all(picture(cause) in PICTURES for cause in (*CAUSES, "never heard of"))
