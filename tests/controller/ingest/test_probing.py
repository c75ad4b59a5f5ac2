import pytest

from annexfleet_controller.ingest.probing import Reach, assign_probers, is_network_address

P = "10.0.0.9:631"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.9:631", True),
        ("printer.annex.lan:9100", True),
        ("[fe80::1]:631", True),
        ("usb", False),
        ("local", False),
        ("localhost:631", False),
        ("127.0.0.1:631", False),
        ("[::1]:631", False),
        ("10.0.0.9", False),
        ("a b:631", False),
        (7, False),
        (None, False),
    ],
)
def test_which_addresses_are_shared(address: object, expected: bool):
    assert is_network_address(address) is expected


def reach(number: int, *, connected: bool = True, annex: str = "a", address: str = P) -> Reach:
    return Reach(number, annex, address, connected)


@pytest.mark.parametrize(
    ("reaches", "told", "asks"),
    [
        ([reach(1)], {}, {1}),
        ([reach(3), reach(2), reach(5)], {}, {2}),
        ([reach(1), reach(2)], {1: {P}}, {2}),  # the one that does so already
        ([reach(1), reach(2)], {1: {P}, 2: {P}}, {1}),  # nobody did
        ([reach(1, connected=False), reach(2)], {2: {P}}, {2}),
        ([reach(1, connected=False), reach(2, connected=False)], {2: {P}}, {1}),  # as it was
        ([reach(1), reach(2, annex="b")], {}, {1, 2}),  # the same address means another printer there
        ([reach(1), reach(2, address="10.0.0.8:631")], {}, {1, 2}),
    ],
)
def test_one_connected_device_of_an_annex_asks_a_printer(reaches, told, asks):
    assigned = assign_probers(reaches, {n: frozenset(addresses) for n, addresses in told.items()})

    assert {number for number, elsewhere in assigned.items() if not elsewhere} == asks


def test_a_decision_stands_as_long_as_nothing_changes():
    reaches = [reach(1), reach(2), reach(3), reach(2, address="10.0.0.8:631"), reach(3, address="10.0.0.8:631")]
    first = assign_probers(reaches, {})

    assert assign_probers(reaches, first) == first
    assert first == {1: frozenset(), 2: {P}, 3: {P, "10.0.0.8:631"}}
