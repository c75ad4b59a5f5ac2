from annexfleet_controller.ingest.acks import AFTER_S, Acks, Said
from annexfleet_controller.ingest.settle import Due


def due(upto: int, *, urgent: bool = False, items: int = 1, install: str = "i", device: str = "d1") -> Due:
    return Due(device, install, upto, urgent, items)


def test_what_a_device_waits_for_is_said_at_once():
    assert Acks().note([due(7, urgent=True)], 0) == [Said("d1", "i", 7)]


def test_a_quiet_device_hears_every_third_beat():
    acks = Acks()

    said = [acks.note([due(n)], n * 300) for n in range(1, 7)]

    assert said == [[], [], [Said("d1", "i", 3)], [], [], [Said("d1", "i", 6)]]


def test_what_is_owed_for_a_quarter_of_an_hour_is_said_once():
    acks = Acks()
    acks.note([due(1)], 1000)
    acks.note([due(2)], 1000 + AFTER_S / 2)

    assert acks.overdue(999 + AFTER_S) == []
    assert acks.overdue(1040 + AFTER_S) == [Said("d1", "i", 2)]
    assert acks.overdue(5000 + AFTER_S) == []


def test_devices_are_looked_through_only_now_and_then():
    acks = Acks()
    acks.note([due(1)], 0)
    assert acks.overdue(AFTER_S - 1) == []

    assert acks.overdue(AFTER_S + 1) == []
    assert acks.overdue(AFTER_S + 30) == [Said("d1", "i", 1)]


def test_a_new_installation_begins_to_count_anew():
    acks = Acks()
    acks.note([due(8), due(9)], 0)

    assert acks.note([due(1, install="j")], 1) == []
    assert acks.note([due(3, install="j", items=2)], 2) == [Said("d1", "j", 3)]
