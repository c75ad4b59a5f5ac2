import pytest

from annexfleet_agent.protocol.messages import DesiredSettings, Portal
from annexfleet_controller.desired.compare import compare
from annexfleet_controller.desired.document import Key, parse
from annexfleet_controller.desired.resolve import (
    PROVINCE,
    Layer,
    Place,
    demand_whole,
    playable,
    resolve,
    settings,
)
from annexfleet_controller.errors import Invalid

AT = Place(device_id="d-1", annex_id="berkane-1", role="kiosk")
ROLE, ANNEX, DEVICE = Layer("role", "kiosk"), Layer("annex", "berkane-1"), Layer("device", "d-1")


def of(**layers: dict[str, object]):
    names = {"province": PROVINCE, "role": ROLE, "annex": ANNEX, "device": DEVICE}
    return resolve({names[name]: parse(document) for name, document in layers.items()}, AT)


def package(name: str = "htop") -> Key:
    return Key("packages", name)


@pytest.mark.parametrize(
    ("layers", "value", "layer"),
    [
        (("province",), "1", PROVINCE),
        (("province", "role"), "2", ROLE),
        (("province", "role", "annex"), "3", ANNEX),
        (("province", "role", "annex", "device"), "4", DEVICE),
        (("role", "annex"), "3", ANNEX),
        (("province", "device"), "4", DEVICE),
    ],
)
def test_the_nearest_layer_decides(layers: tuple[str, ...], value: str, layer: Layer):
    versions = {"province": "1", "role": "2", "annex": "3", "device": "4"}

    resolved = of(**{name: {"packages": {"htop": versions[name]}} for name in layers})

    assert (resolved.entries[package()].value, resolved.entries[package()].layer) == (value, layer)


def test_layers_of_others_do_not_count():
    layers = {
        Layer("role", "counter"): parse({"packages": {"htop": "1"}}),
        Layer("annex", "berkane-2"): parse({"packages": {"htop": "2"}}),
        Layer("device", "d-2"): parse({"packages": {"htop": "3"}}),
    }

    assert resolve(layers, AT).entries == {}


def test_null_takes_an_inherited_entry_away_and_a_nearer_layer_may_bring_it_back():
    taken = of(province={"packages": {"htop": "present"}}, annex={"packages": {"htop": None}})
    back = of(
        province={"packages": {"htop": "present"}}, annex={"packages": {"htop": None}},
        device={"packages": {"htop": "absent"}},
    )  # fmt: skip

    assert package() not in taken.entries
    assert taken.taken_away == {package(): ANNEX}
    assert back.entries[package()].value == "absent"
    assert back.taken_away == {}


def test_null_where_nothing_was_inherited_takes_nothing():
    assert of(annex={"packages": {"htop": None}}).taken_away == {}


def test_entries_are_whole():
    resolved = of(
        province={"print_queues": {"a": {"uri": "usb://x", "location": "Hall"}}},
        device={"print_queues": {"a": {"uri": "usb://y"}}},
    )

    assert resolved.entries[Key("print_queues", "a")].value == parse(
        {"print_queues": {"a": {"uri": "usb://y"}}}
    ).entries[Key("print_queues", "a")]  # fmt: skip


def test_what_the_agent_is_sent():
    resolved = of(
        province={"agent": {"sample_period_s": 30}, "portals": {"cnie": {"url": "https://cnie.ma/"}}},
        annex={"agent": {"beat_period_s": 600}, "packages": {"htop": "present"}},
    )

    assert settings(resolved) == DesiredSettings(
        sample_period_s=30.0, beat_period_s=600.0, portals=[Portal(name="cnie", url="https://cnie.ma/")]
    )
    assert settings(of()) == DesiredSettings()


def test_what_a_playbook_is_told():
    told = playable(
        of(
            province={"packages": {"htop": "present", "telnet": "absent", "cups": "2.4"}},
            annex={
                "print_queues": {"a": {"uri": "usb://x"}, "b": "absent"}, "printing": {"default_queue": "a"},
            },
        )
    )  # fmt: skip

    assert told["packages_present"] == ["cups=2.4", "htop"]
    assert told["packages_absent"] == ["telnet"]
    assert told["print_queues"] == [
        {"name": "a", "uri": "usb://x", "driver": "everywhere", "ppd": "", "info": "", "location": "",
         "error_policy": "retry-job", "shared": False, "options": {}}
    ]  # fmt: skip
    assert (told["print_queues_absent"], told["default_queue"]) == (["b"], "a")
    assert playable(of()).keys() == told.keys()


def test_layers_that_do_not_fit_together_are_found():
    many = {f"p{n}": {"url": "https://x/"} for n in range(10)}
    more = {f"q{n}": {"url": "https://x/"} for n in range(10)}

    with pytest.raises(Invalid) as portals:
        demand_whole(of(province={"portals": many}, annex={"portals": more}))
    with pytest.raises(Invalid) as queue:
        demand_whole(of(province={"printing": {"default_queue": "a"}}, annex={"print_queues": {"a": "absent"}}))
    demand_whole(of(province={"portals": many}))

    assert portals.value.facts == {"field": "portals", "reason": "too_many"}
    assert queue.value.facts == {"field": "printing.default_queue", "reason": "default_is_absent"}


def test_what_differs_between_two_documents():
    before = parse({"packages": {"aa": "present", "bb": "1"}, "print_queues": {"q": {"uri": "usb://x", "info": "One"}}})
    after = parse(
        {"packages": {"bb": None, "cc": "absent"}, "print_queues": {"q": {"uri": "usb://x", "location": "Hall"}}}
    )

    changes = compare(before, after)

    assert [(one.key.text, one.kind, one.before, one.after) for one in changes] == [
        ("packages.aa", "removed", "present", None),
        ("packages.bb", "changed", "1", "null"),
        ("packages.cc", "added", None, "absent"),
        ("print_queues.q", "changed", "uri=usb://x; info=One", "uri=usb://x; location=Hall"),
    ]
    assert [(one.name, one.before, one.after) for one in changes[3].fields] == [
        ("info", "One", ""), ("location", "", "Hall"),
    ]  # fmt: skip
    assert compare(after, after) == ()
