"""What playbooks say of themselves, and whether a device reports what was wanted."""

from pathlib import Path

import pytest
import yaml
from tests.house.tree import ROOT

from annexfleet_controller.errors import Invalid
from annexfleet_controller.waves import natures
from annexfleet_controller.waves.model import Expectation, Nature, Reverse

ROLES = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml") if path.name != "fleet.annexfleet.yml")
AGENT = """
configures: agent
expects:
  - {fact: agent_version, equals: {variable: agent_update_version}}
reverse:
  playbook: agent_update
  variables: {agent_update_home: {variable: agent_update_home}, agent_update_kept: 3}
  before: {agent_update_version: agent_version}
interrupts: true
takes_s: 240
"""
PACKAGES = """
configures: {kind: packages, named_by: [packages_present, packages_absent]}
expects:
  - packages: {variable: packages_present}
  - {packages: {variable: packages_absent}, absent: true}
untold: [packages_held]
"""


def of_role(role, **variables):
    return natures.parse((ROOT / "playbooks/roles" / role / "meta/rollout.yml").read_text(encoding="utf-8"), variables)


def expecting(*expects, proves=True):
    return Nature(configures="x", expects=tuple(Expectation(fact=f, equals=e) for f, e in expects), proves=proves)


# -- the file


def test_a_file_is_filled_in_with_the_variables_of_the_run():
    found = natures.parse(AGENT, {"agent_update_version": "0.2.0", "agent_update_home": "/opt/a"})

    assert found == Nature(
        configures="agent",
        expects=(Expectation(fact="agent_version", equals="0.2.0"),),
        reverse=Reverse(
            playbook="agent_update",
            variables={"agent_update_home": "/opt/a", "agent_update_kept": 3},
            before={"agent_update_version": "agent_version"},
        ),
        interrupts=True,
        takes_s=240.0,
        proves=True,
    )


def test_a_variable_that_nobody_gave_is_left_out():
    found = natures.parse(AGENT, {})

    assert found.expects == ()
    assert found.proves is False  # nothing is expected, so nothing is proven
    assert found.reverse.variables == {"agent_update_kept": 3}


def test_packages_are_expected_each():
    found = natures.parse(PACKAGES, {"packages_present": ["htop", "vim=2:9.0*"], "packages_absent": ["nano"]})

    assert found.expects == (
        Expectation(fact="package:htop", equals="*"),
        Expectation(fact="package:vim", equals="2:9.0*"),
        Expectation(fact="package:nano", equals=""),
    )
    assert found.configures == "packages:htop,nano,vim"
    assert found.proves is True


@pytest.mark.parametrize(
    "variables",
    [{"packages_held": ["linux-image"], "packages_present": ["htop"]}, {"packages_present": ["libc6:i386"]}],
)
def test_what_no_device_reports_proves_nothing(variables):
    found = natures.parse(PACKAGES, variables)

    assert found.proves is False
    assert not natures.complies(found, {"package:htop": "3.2", "package:libc6:i386": "2.36"})


def test_a_long_list_of_names_is_a_digest_of_it():
    names = [f"package-{number}" for number in range(30)]

    one, same, other = (
        natures.parse(PACKAGES, {"packages_present": of}).configures for of in (names, names[::-1], names[1:])
    )

    assert one == same != other
    assert len(one) < 120


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ("a: [", "document", "not_yaml"),
        ("[]", "document", "not_an_object"),
        ("", "document", "not_an_object"),
        ("configures: a\nspeed: 3", "document.speed", "unknown_field"),
        ("interrupts: true", "configures", "not_an_object"),
        ("configures: {kind: 3}", "configures.kind", "not_text"),
        ("configures: {kind: a, named_by: x}", "configures.named_by", "not_a_list"),
        ("configures: a\nexpects: {}", "expects", "not_a_list"),
        ("configures: a\nexpects: [{fact: mood, equals: good}]", "expects.0.fact", "unknown_fact"),
        ("configures: a\nexpects: [{fact: 'package:', equals: x}]", "expects.0.fact", "unknown_fact"),
        ("configures: a\nexpects: [{fact: kernel}]", "expects.0.equals", "missing"),
        ("configures: a\nexpects: [{fact: kernel, equals: [1]}]", "expects.0.equals", "not_text"),
        (
            "configures: a\nexpects: [{fact: kernel, equals: {variable: A-B}}]",
            "expects.0.equals.variable",
            "not_a_name",
        ),
        ("configures: a\nexpects: [{packages: 3}]", "expects.0.packages", "not_a_list"),
        ("configures: a\nexpects: [{packages: [3]}]", "expects.0.packages", "not_text"),
        ("configures: a\nexpects: [{packages: [a], absent: 3}]", "expects.0.absent", "not_yes_or_no"),
        ("configures: a\nuntold: [3]", "untold.0", "not_a_name"),
        ("configures: a\ninterrupts: maybe", "interrupts", "not_yes_or_no"),
        ("configures: a\ntakes_s: long", "takes_s", "not_a_number"),
        ("configures: a\ntakes_s: 0", "takes_s", "not_within_bounds"),
        ("configures: a\ntakes_s: .nan", "takes_s", "not_within_bounds"),
        ("configures: a\nreverse: {playbook: ../b, variables: {a: 1}}", "reverse.playbook", "not_a_name"),
        ("configures: a\nreverse: {playbook: b}", "reverse", "missing"),
        ("configures: a\nreverse: {playbook: b, before: {a: mood}}", "reverse.before.a", "unknown_fact"),
    ],
)
def test_a_file_that_cannot_be(text, field, reason):
    with pytest.raises(Invalid) as caught:
        natures.parse(text, {})

    assert (caught.value.facts["field"], caught.value.facts["reason"]) == (field, reason)


def test_a_playbook_that_says_nothing_of_itself():
    assert natures.unknown("mine").configures == "playbook:mine"
    assert natures.UNKNOWN.interrupts is True
    assert not natures.complies(natures.unknown("mine"), {"agent_version": "0.1.0"})


# -- what devices report


@pytest.mark.parametrize(
    ("nature", "facts", "expected"),
    [
        (expecting(("agent_version", "0.2.0")), {"agent_version": "0.2.0"}, True),
        (expecting(("agent_version", "0.2.0")), {"agent_version": "0.1.0"}, False),
        (expecting(("agent_version", "0.2.0")), {"kernel": "6.1"}, None),
        (expecting(("package:htop", "*")), {"package:htop": "3.2"}, True),
        (expecting(("package:htop", "*")), {"package:vim": "9"}, False),
        (expecting(("package:htop", "3.*")), {"package:htop": "3.2"}, True),
        (expecting(("package:htop", "3.*")), {"package:htop": "2.9"}, False),
        (expecting(("package:htop", "")), {"package:vim": "9"}, True),
        (expecting(("package:htop", "")), {"package:htop": "3.2"}, False),
        (expecting(("package:htop", "")), {}, None),  # its list never came
        (expecting(("kernel", "6.1"), ("agent_version", "0.2.0")), {"agent_version": "0.1.0"}, False),
        (expecting(("kernel", "6.1"), ("agent_version", "0.2.0")), {"agent_version": "0.2.0"}, None),
        (expecting(), {"agent_version": "0.2.0"}, None),
    ],
)
def test_whether_a_device_has_what_was_wanted(nature, facts, expected):
    assert natures.fits(nature, facts) is expected
    assert natures.complies(nature, facts) is (expected is True)


def test_what_a_device_reports_otherwise():
    nature = expecting(("agent_version", "0.2.0"), ("kernel", "6.1"), ("package:htop", ""), ("package:vim", "*"))

    assert natures.differs(nature, {"agent_version": "0.1.0", "package:htop": "3.2"}) == (
        natures.Difference("agent_version", "0.2.0", "0.1.0"),
        natures.Difference("kernel", "6.1", None),
        natures.Difference("package:htop", "", "3.2"),
        natures.Difference("package:vim", "*", ""),
    )


def test_the_facts_that_are_kept():
    assert natures.facts_of(of_role("agent_update", agent_update_version="2")) == ("agent_version",)


def test_devices_go_back_to_what_each_had():
    nature = natures.parse(AGENT, {"agent_update_version": "0.3.0"})
    before = {4: {"agent_version": "0.2.0"}, 1: {"agent_version": "0.1.0"}, 2: {"agent_version": "0.2.0"}, 3: {}}

    back, lost = natures.reversals(nature, before)

    assert [(of.variables["agent_update_version"], of.devices) for of in back] == [("0.1.0", (1,)), ("0.2.0", (2, 4))]
    assert all(of.variables["agent_update_kept"] == 3 and of.playbook == "agent_update" for of in back)
    assert lost == (3,)


def test_where_there_is_no_way_back_none_is_offered():
    assert natures.reversals(of_role("packages", packages_present=["htop"]), {1: {"package:htop": "3"}}) == ((), (1,))


# -- the playbooks' own


@pytest.mark.parametrize("role", ROLES)
def test_every_playbook_says_what_it_is_and_names_only_its_own_variables(role):
    text = (ROOT / "playbooks/roles" / role / "meta/rollout.yml").read_text(encoding="utf-8")
    specs = yaml.safe_load((ROOT / "playbooks/roles" / role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    options = specs["argument_specs"]["main"]["options"]

    nature = natures.parse(text, {})

    assert nature.configures
    assert nature.takes_s >= 60
    for name, default in named(yaml.safe_load(text)):
        assert name in options, f"{role} has no variable {name}"
        assert default is None or options[name]["default"] == default


@pytest.mark.parametrize("role", ROLES)
def test_a_way_back_leads_to_a_playbook_that_takes_it(role):
    nature = of_role(role, agent_update_version="0.2.0")
    if nature.reverse is None:
        assert role != "agent_update"
        return
    other = ROOT / "playbooks/roles" / nature.reverse.playbook / "meta/argument_specs.yml"
    options = yaml.safe_load(other.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]

    assert {*nature.reverse.variables, *nature.reverse.before} <= set(options)
    missing = {name for name, of in options.items() if of.get("required")} - set(nature.reverse.before)
    assert missing <= set(nature.reverse.variables)


def named(document, key=""):
    """The variables that a file names, with the defaults it gives them."""
    if isinstance(document, dict):
        if "variable" in document:
            yield document["variable"], document.get("default")
            return
        if key == "before":
            yield from ((name, None) for name in document)
        for inner, value in document.items():
            yield from named(value, inner)
    elif isinstance(document, list):
        for value in document:
            if isinstance(value, str) and key in ("named_by", "untold"):
                yield value, None
            yield from named(value, key)


def test_what_comes_with_them_is_whole():
    assert {path.parts[-3] for path in Path(ROOT / "playbooks").glob("roles/*/meta/rollout.yml")} == set(ROLES)


def test_what_the_layers_want_differs_from_device_to_device_and_has_one_fact():
    text = "configures: all\nexpects:\n  - {desired: {variable: revision}}\n"

    nature = natures.parse(text, {"revision": 417})

    assert nature.expects == (Expectation(fact="desired:417", equals="same"),)
    assert (natures.fits(nature, {"desired:417": "same"}), natures.fits(nature, {"desired:417": "differs"})) == (
        True, False,
    )  # fmt: skip
    assert natures.fits(nature, {"desired:416": "same"}) is None
    assert natures.parse(text, {}).expects == ()


@pytest.mark.parametrize("revision", [0, -1, True, "417", 1.5])
def test_a_revision_is_a_whole_number(revision: object):
    with pytest.raises(Invalid) as refused:
        natures.parse("configures: all\nexpects:\n  - {desired: {variable: revision}}\n", {"revision": revision})

    assert refused.value.facts["field"] == "expects.0.desired"
