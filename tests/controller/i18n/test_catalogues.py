"""No word is missing in any language, and none stands where no language can reach it."""

import ast
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from babel.messages import pofile
from babel.messages.extract import extract_from_dir
from babel.messages.jslexer import tokenize

import annexfleet_controller
from annexfleet_agent.protocol import causes, metrics
from annexfleet_agent.protocol.messages import ProblemCode
from annexfleet_controller.access import passwords
from annexfleet_controller.access.roles import ROLES
from annexfleet_controller.calendars import FEASTS, FIXED
from annexfleet_controller.desired.compare import ChangeKind
from annexfleet_controller.desired.document import ERROR_POLICIES, SECTIONS, SETTINGS, PortalWish, QueueWish
from annexfleet_controller.desired.drift import REASONS as DRIFT_REASONS
from annexfleet_controller.desired.drift import STANDINGS
from annexfleet_controller.desired.resolve import LAYER_KINDS
from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.i18n.catalogues import CODES, catalogue_file, language, languages_in, negotiate
from annexfleet_controller.maintenance import Condition, Reason
from annexfleet_controller.rollouts import bundle, wording
from annexfleet_controller.rollouts.approved import PROBLEMS
from annexfleet_controller.rollouts.variables import REASONS
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import rollout_events, runs
from annexfleet_controller.store.run_progress import RESULT_STATES
from annexfleet_controller.supplies import forecast, levels
from annexfleet_controller.tending import putting_back, reach, undo
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
from annexfleet_controller.web.curves import SPANS
from annexfleet_controller.web.pages import desired_form
from annexfleet_controller.web.pages.alerts import PERIODS, WHOSE
from annexfleet_controller.web.timeline import MARK_KINDS

ROOM = Path(annexfleet_controller.__file__).parent


def calendar_reasons() -> set[str]:
    """Every reason for which a calendar is refused."""
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOM / "calendars").glob("*.py"))
    return set(re.findall(r'reason="(\w+)"', source))


def desired_reasons() -> set[str]:
    """Every reason for which a layer's document is refused."""
    source = "".join(
        file.read_text(encoding="utf-8") for file in (ROOM / "desired").glob("[dr]*e*.py") if file.name != "drift.py"
    )
    found = re.findall(r'reason="(\w+)"|_wrong\([^)]*?"(\w+)"\)', source)
    return {"unknown_field", "not_a_name"} | {one for pair in found for one in pair if one}


def acts() -> set[str]:
    """Every act that is written into the audit."""
    source = "".join(file.read_text(encoding="utf-8") for file in ROOM.rglob("*.py"))
    named = set(re.findall(r'act="(\w+\.\w+)"', source)) | set(re.findall(r'_note\([^)]*?"(\w+\.\w+)"', source))
    of_people = set(machine.ACTS) - machine.BY_CONDUCTOR
    return named | {f"rollout.{act}" for act in of_people | {"create", "edit", "dry_run"}}


def account_reasons() -> set[str]:
    """Every reason for which an account or a key is refused."""
    source = "".join(file.read_text(encoding="utf-8") for file in ROOM.rglob("*.py"))
    return set(re.findall(r'AccountWrong\([^)]*?reason="(\w+)"', source))


def setting_reasons() -> set[str]:
    """Every reason for which a change of settings is refused."""
    source = "".join(file.read_text(encoding="utf-8") for file in ROOM.rglob("*.py"))
    return {
        one
        for found in re.findall(r"SettingWrong\([^)]*reason=([^)]*)", source)
        for one in re.findall(r'"(\w+)"', found)
    }


CONFIRMED = (
    "annex.retire", "device.move", "device.retire", "device.replace", "service.change", "calendar.change",
    "rule.disable",
)  # fmt: skip
"""Acts before which a page says what they touch."""


def source_of(*files: str) -> str:
    return "".join((ROOM / file).read_text(encoding="utf-8") for file in files)


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


def machine_free_acts() -> tuple[str, ...]:
    """Acts that change no state."""
    return ("edit", "dry_run", "clone", "retry", "rollback")


TEMPLATES = sorted((ROOM / "web/templates").glob("*.html"))
CODES_ONLY_ON_THE_COMMAND_LINE = {
    "settings_wrong", "home_in_use", "port_taken", "not_ready", "simulation_failed", "crl_wrong", "clock_wrong",
    "revocation_not_heeded", "not_kicked",
}  # fmt: skip

RULES = [
    "annex.cannot_serve", "annex.degraded", "annex.power_cut", "annex.link_down", "device.offline",
    "device.missing", "device.flapping", "cpu.high", "mem.high", "mem.oom_or_swap", "disk.low", "disk.critical",
    "disk.readonly_or_smart", "battery.low", "battery.critical", "battery.worn", "temp.high", "clock.skew",
    "reboot.needed", "reboot.unexpected", "agent.version_drift", "agent.backlog", "config.drift", "runner.forged",
    "printer.blocked",
    "printer.offline", "printer.supply_low", "printer.supply_empty", "printer.waste", "printer.jam_repeat",
    "print.queue_depth", "print.job_stuck", "print.queue_paused", "queue.long", "queue.critical", "queue.stalled",
    "queue.silent", "portal.down_local", "portal.down_global", "portal.slow", "portal.tls", "broker.down",
    "controller.db_lag", "deadman",
]  # fmt: skip
INCIDENT_KINDS = (
    "power_cut", "line_cut", "portal_down", "portal_down_everywhere",
    "printer", "device", "queue", "annex", "controller",
)  # fmt: skip


@cache
def msgids(code: str) -> set[tuple[str | None, str]]:
    with catalogue_file(code).open("rb") as file:
        read = pofile.read_po(file, locale=code, abort_invalid=True)
    return {(m.context, m.id if isinstance(m.id, str) else m.id[0]) for m in read if m.id}


@cache
def asked_for() -> set[str]:
    """Every sentence that templates and code ask to be translated."""
    found = extract_from_dir(
        ROOM,
        method_map=[("**/templates/**.html", "jinja2.ext:babel_extract"), ("**.py", "python")],
        options_map={"**/templates/**.html": {"newstyle_gettext": "true", "silent": "false"}},
        keywords={"_": None, "gettext": None, "ngettext": (1, 2)},
    )
    return {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}


def test_a_catalogue_is_all_that_one_more_language_needs(tmp_path: Path):
    for code in (*CODES, "zgh"):
        (tmp_path / code).mkdir()
        (tmp_path / code / "messages.po").touch()
    (tmp_path / "notes").mkdir()

    assert languages_in(tmp_path) == ("fr", "ar", "en", "zgh")


@pytest.mark.parametrize("code", CODES)
def test_every_sentence_is_in_every_catalogue_and_none_is_left_over(code: str):
    sentences = {id_ for context, id_ in msgids(code) if context is None}

    assert sentences == asked_for()


@pytest.mark.parametrize("code", CODES)
def test_all_catalogues_hold_the_same(code: str):
    assert msgids(code) == msgids("en")


@pytest.mark.parametrize("code", CODES)
def test_nothing_is_left_untranslated(code: str):
    with catalogue_file(code).open("rb") as file:
        read = pofile.read_po(file, locale=code)

    for message in read:
        texts = [message.string] if isinstance(message.string, str) else list(message.string)
        assert all(texts), message.id
        assert not message.fuzzy, message.id
        assert len(texts) in {1, read.num_plurals}, message.id


@pytest.mark.parametrize("code", CODES)
def test_placeholders_are_those_of_the_sentence(code: str):
    with catalogue_file(code).open("rb") as file:
        read = pofile.read_po(file, locale=code)

    with catalogue_file("en").open("rb") as file:
        english = {(m.context, m.id): str(m.string) for m in pofile.read_po(file, locale="en") if isinstance(m.id, str)}

    for message in read:
        if not message.id or isinstance(message.id, tuple | list):
            continue  # a plural form may leave the number out: "two devices"
        is_code = message.context and re.fullmatch(r"[\w.]+", message.id)
        sentence = english[message.context, message.id] if is_code else message.id
        assert set(re.findall(r"%\(\w+\)s", sentence)) == set(re.findall(r"%\(\w+\)s", str(message.string))), message.id


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("metric", metrics.CATALOGUE),
        ("collector", metrics.COLLECTORS),
        ("cause", causes.CAUSES),
        ("problem", ProblemCode.__args__),  # type: ignore[attr-defined]
        ("word", {word for metric in metrics.CATALOGUE.values() for word in metric.words}),
        ("presence", ("online", "silent", "never", "revoked")),
        ("mark", MARK_KINDS),
        ("charge", WHOSE),
        ("span", (*SPANS, *PERIODS)),
        ("role", ROLES),
        ("device_role", ("counter", "kiosk", "tablet", "server")),
        ("happening", ("change", "inventory", "receipt", "gap", "connected", "gone")),
        ("account_reason", account_reasons()),
        ("account_state", ("open", "disabled")),
        ("role_about", ROLES),
        ("password_rule", passwords.RULES),
        ("weakness", ("too_short", "too_long", "too_common", "holds_name", "same_as_before")),
        ("span", ("24h", "7d", "90d")),
        ("rule", RULES),
        ("severity", ("info", "warning", "critical")),
        ("readiness", ("ready", "degraded", "blocked", "unknown")),
        ("capability", ("counter", "print", "portal", "kiosk", "tablet", "queue", "link")),
        ("incident_kind", INCIDENT_KINDS),
        ("incident_state", ("open", "acknowledged", "resolved")),
        ("alert_state", ("pending", "open", "cleared")),
        ("maintenance_state", get_args(Condition)),
        ("maintenance_reason", get_args(Reason)),
        ("thing_kind", ("device", "printer", "portal", "queue", "annex", "link", "power")),
        ("cartridge_colour", ("black", "cyan", "magenta", "yellow", "colour")),
        ("holiday", ("ramadan", *(one.name for one in (*FIXED, *FEASTS)))),
        ("calendar_reason", calendar_reasons()),
        ("word", levels.KINDS),
        ("supply_state", forecast.STATES),
        ("run_standing", ("queued", "running", *runs.RUN_OUTCOMES)),
        ("host_standing", ("waiting", "running", *runs.HOST_OUTCOMES)),
        ("task_standing", RESULT_STATES),
        ("run_problem", PROBLEMS),
        ("variable_reason", REASONS),
        ("command_standing", ("waiting", "sent", "done", "refused", "failed", "unknown", "not_sent")),
        ("command_reason", ("unknown_command", "unknown", "missing", "wrong_type", "wrong_form", "out_of_range")),
        ("act", acts()),
        ("act", undo.RESTORERS),
        ("done", undo.RESTORERS),
        ("effect", get_args(reach.Effect)),
        ("undo_refused", putting_back.REASONS),
        ("setting_reason", setting_reasons()),
        ("confirm", CONFIRMED),
        ("confirm_button", CONFIRMED),
        ("via", ("session", "key", "console", "worker", "link")),
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
        ("supply_why", tuple(why for why in forecast.WHYS if why)),
        ("rollout", (*ROLLOUT_STATES, "open", "rolling", "soaking", *conduct.TURN_REASONS)),
        ("rollout_act", (*sorted(set(machine.ACTS) - machine.BY_CONDUCTOR), *machine_free_acts())),
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


@pytest.mark.parametrize("code", CODES)
def test_every_error_has_words(code: str):
    def below(kind: type[AnnexfleetError]) -> set[type[AnnexfleetError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    codes = {kind.code for kind in below(AnnexfleetError)} - CODES_ONLY_ON_THE_COMMAND_LINE

    assert [one for one in sorted(codes) if ("error", one) not in msgids(code)] == []


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


class _VisibleText(HTMLParser):
    """Text and spoken attributes that stand in a template as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._quiet = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._quiet += tag in {"script", "style", "code"}
        self.found += [v for k, v in attrs if k in {"title", "alt", "aria-label", "placeholder", "label"} and v]

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in {"script", "style", "code"}

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.found.append(data)


PROPER_NAMES = {"annexfleet", "berkane-1"}
"""The product's name and an example of an id are the same in every language."""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_holds_words_of_one_language(template: Path):
    text = template.read_text(encoding="utf-8")
    text = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    text = re.sub(r"\{%-?\s*trans\b.*?%\}.*?\{%-?\s*endtrans\s*-?%\}", "", text, flags=re.DOTALL)
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.DOTALL)
    parser = _VisibleText()
    parser.feed(text)

    words = {word for piece in parser.found for word in re.findall(r"[^\W\d_][\w-]*", piece)} - PROPER_NAMES
    assert words == set()


@pytest.mark.parametrize("file", sorted((ROOM / "web").rglob("*.py")), ids=lambda path: path.name)
def test_no_page_holds_words_of_one_language(file: Path):
    """A sentence in a page's code is a text with a space between letters that is no docstring, log or exception."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    allowed = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and "log" in ast.unparse(node.func)):
            allowed |= {id(inner) for inner in ast.walk(node)}

    sentences = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in allowed
        if re.search(r"[a-z]{3,} [a-z]{2,}", node.value) and not node.value.startswith(("<time", "<svg", "sudo "))
    ]
    assert sentences == []


@pytest.mark.parametrize("script", ["live.js", "charts.js", "board.js"])
def test_no_script_holds_words_of_one_language(script: str):
    """What a script shows comes from the page's data attributes."""
    source = (ROOM / "web/static" / script).read_text(encoding="utf-8")
    strings = [token.value for token in tokenize(source) if token.type in {"string", "template_string"}]

    assert [text for text in strings if re.search(r"[A-Za-z]{3,} [A-Za-z]{2,}", text) and text != '"use strict"'] == []


@pytest.mark.parametrize(
    ("wishes", "accept", "expected"),
    [
        ((), "", "fr"),
        ((), "ar-MA,ar;q=0.9,fr;q=0.5", "ar"),
        ((), "de,en;q=0.3,fr;q=0.2", "en"),
        ((), "en;q=0,ar;q=0.1", "ar"),
        ((), "de;q=1,*;q=0.5", "fr"),
        ((), "en;q=high", "fr"),
        (("ar", "en"), "fr", "ar"),
        (("", "en"), "fr", "en"),
        (("xx",), "en", "en"),
    ],
)
def test_whose_wish_counts_for_the_language(wishes: tuple[str, ...], accept: str, expected: str):
    assert negotiate(*wishes, accept=accept) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "لا جهاز متصل"),
        (1, "جهاز واحد متصل"),
        (2, "جهازان متصلان"),
        (3, "3 أجهزة متصلة"),
        (11, "11 جهازا متصلا"),
        (99, "99 جهازا متصلا"),
        (100, "100 جهاز متصل"),
        (103, "103 أجهزة متصلة"),
    ],
)
def test_arabic_counts_in_six_ways(count: int, expected: str):
    text = language("ar").ngettext("%(num)s device online", "%(num)s devices online", count)

    assert text.replace("%(num)s", str(count)) == expected


def test_a_code_that_nobody_knows_is_shown_as_it_is():
    assert language("ar").name("cause", "printer_on_fire") == "printer_on_fire"
