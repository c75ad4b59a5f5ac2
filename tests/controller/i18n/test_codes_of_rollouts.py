"""Every code of playbooks, runs, rollouts and the desired configuration has words in every language."""

import re
from pathlib import Path
from typing import get_args

import pytest
from tests.controller.i18n.words import ROOM, msgids, source_of

from annexfleet_controller.desired.compare import ChangeKind
from annexfleet_controller.desired.document import ERROR_POLICIES, SECTIONS, SETTINGS, PortalWish, QueueWish
from annexfleet_controller.desired.drift import REASONS as DRIFT_REASONS
from annexfleet_controller.desired.drift import STANDINGS
from annexfleet_controller.desired.resolve import LAYER_KINDS
from annexfleet_controller.i18n.catalogues import CODES
from annexfleet_controller.rollouts import bundle, wording
from annexfleet_controller.rollouts.approved import PROBLEMS
from annexfleet_controller.rollouts.variables import REASONS
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import rollout_events, runs
from annexfleet_controller.store.run_progress import RESULT_STATES
from annexfleet_controller.waves import budget, conduct, documents, gate, machine, readings
from annexfleet_controller.waves import forecast as waves_forecast
from annexfleet_controller.waves.model import (
    ROLLOUT_STATES,
    TARGET_STATES,
    GateWord,
    Policy,
    Selector,
    WindowKind,
)
from annexfleet_controller.waves.signs import SignCode
from annexfleet_controller.web.pages import desired_form


def desired_reasons() -> set[str]:
    """Every reason for which a layer's document is refused."""
    source = "".join(
        file.read_text(encoding="utf-8") for file in (ROOM / "desired").glob("[dr]*e*.py") if file.name != "drift.py"
    )
    found = re.findall(r'reason="(\w+)"|_wrong\([^)]*?"(\w+)"\)', source)
    return {"unknown_field", "not_a_name"} | {one for pair in found for one in pair if one}


def refusals() -> set[str]:
    """Every reason for which a rollout, or an act upon one, is refused besides those of its documents."""
    source = source_of(
        "rollouts/drafting.py", "rollouts/steering.py", "rollouts/repeating.py", "web/wishes.py",
        "web/pages/rollout_acts.py",
    )  # fmt: skip
    return set(re.findall(r'Invalid\([^)]*reason="(\w+)"', source))


def approvals() -> set[str]:
    """Why a second person is needed."""
    return set(re.findall(r'why\.append\("(\w+)"\)', source_of("rollouts/drafting.py")))


def nexts() -> set[str]:
    """How a rollout stands, as its page says."""
    told = re.search(r"code, main = \{(.*?)\}\[found", source_of("web/pages/rollouts.py"), re.DOTALL)
    assert told is not None
    codes = set(re.findall(r'\("(\w+)"', told[1])) | {
        "begins",
        "stragglers",
        "rolling",
        "soaking",
        "waits_for_window",
        "ending",
    }
    return codes | {"aborted"}


CHANGE_NO_STATE = ("edit", "dry_run", "clone", "retry", "rollback")
"""Acts that change no state."""


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("run_standing", ("queued", "running", *runs.RUN_OUTCOMES)),
        ("host_standing", ("waiting", "running", *runs.HOST_OUTCOMES)),
        ("task_standing", RESULT_STATES),
        ("run_problem", PROBLEMS),
        ("variable_reason", REASONS),
        ("command_standing", ("waiting", "sent", "done", "refused", "failed", "unknown", "not_sent")),
        ("command_reason", ("unknown_command", "unknown", "missing", "wrong_type", "wrong_form", "out_of_range")),
        ("desired_section", SECTIONS),
        ("desired_entry", (*SETTINGS, "default_queue")),
        ("desired_layer", LAYER_KINDS),
        ("desired_standing", STANDINGS),
        ("desired_tally", STANDINGS),
        ("desired_reason", tuple(reason for reason in DRIFT_REASONS if reason)),
        ("desired_field", tuple(dict.fromkeys((*PortalWish.__struct_fields__, *QueueWish.__struct_fields__)))),
        ("desired_policy", ERROR_POLICIES),
        ("desired_way", (*desired_form.PACKAGE_WAYS, *desired_form.QUEUE_WAYS, "inherited")),
        ("desired_change", get_args(ChangeKind)),
        ("desired_wrong", desired_reasons()),
        ("rollout", (*ROLLOUT_STATES, "open", "rolling", "soaking", *conduct.TURN_REASONS)),
        ("rollout_act", (*sorted(set(machine.ACTS) - machine.BY_CONDUCTOR), *CHANGE_NO_STATE)),
        ("rollout_target", (*TARGET_STATES, *conduct.REASONS, *budget.REASONS, "takes_no_commands", "aborted")),
        ("rollout_event", rollout_events.KINDS),
        ("rollout_event_detail", tuple(f"{kind} {facts}" for kind, facts in wording.EVENT_DETAILS.items())),
        ("rollout_relation", ("rollback", "clone", "retry")),
        ("rollout_reason", (*documents.REASONS, *refusals())),
        ("rollout_field", (*Selector.__struct_fields__, *Policy.__struct_fields__, "selector", "name", "reason")),
        ("rollout_preset", documents.PRESETS),
        ("rollout_preset_about", documents.PRESETS),
        ("rollout_window", get_args(WindowKind)),
        ("rollout_forecast", waves_forecast.WHYS),
        ("rollout_approval", approvals()),
        ("rollout_next", nexts()),
        ("gate", gate.REASONS),
        ("gate_word", get_args(GateWord)),
        ("gate_sign", get_args(SignCode)),
        ("gate_kind", ("model", "role", "annex")),
        ("gate_detail", tuple(wording.GATE_DETAILS.values())),
        ("metric", readings.KEY_READINGS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_code_that_people_may_see_has_words(code: str, kind: str, names: list[str]):
    known = msgids(code)

    assert [name for name in names if (kind, name) not in known] == []


OUR_PLAYBOOKS = ROOM.parents[1] / "playbooks"


@pytest.mark.skipif(not OUR_PLAYBOOKS.is_dir(), reason="the playbooks are not in this checkout")
@pytest.mark.parametrize("code", CODES)
def test_our_own_playbooks_and_their_variables_have_words(code: str):
    home = Home(Path("/nowhere"), Settings(playbooks_dir=str(OUR_PLAYBOOKS)))
    wanted = set()
    for playbook in bundle.playbooks(home):
        wanted |= {("playbook", playbook.name), ("playbook_about", playbook.name)}
        for variable in playbook.variables:
            wanted.add(("variable", variable.name))
            wanted |= {("variable", f"{variable.name}.{option.name}") for option in variable.options}

    assert sorted(wanted - msgids(code)) == []
