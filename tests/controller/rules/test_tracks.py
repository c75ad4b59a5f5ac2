"""What the last half hour of a queue or of a printer tells."""

from datetime import timedelta

import pytest
from tests.controller.rules.things_told import NOW

from annexfleet_controller.rules.tracks import PrinterTrack, QueueTrack


@pytest.mark.parametrize(
    ("longest_s", "called"),
    [(1100.0, False), (1080.0, False), (780.0, True), (1000.0, True)],
    ids=["the same stands first", "within what reports shift", "somebody else, who came later", "who came soon after"],
)
def test_somebody_was_called_when_who_stood_first_is_gone(longest_s: float, called: bool):
    track = QueueTrack()
    track.see(NOW - timedelta(minutes=5), waiting=3, longest_wait_s=800, served=12)
    track.see(NOW, waiting=3, longest_wait_s=longest_s, served=12)

    assert track.no_call_s(NOW) == (0 if called else 300)


def test_a_printer_owes_pages_from_when_it_began_to_print():
    track = PrinterTrack()
    track.see(NOW - timedelta(minutes=20), jobs=2, pages=500, processing=False)
    track.see(NOW - timedelta(minutes=2), jobs=2, pages=500, processing=True)

    assert track.still_s(NOW) == 120


def test_a_printer_that_prints_and_whose_pages_stand_still():
    track = PrinterTrack()
    track.see(NOW - timedelta(minutes=7), jobs=1, pages=500, processing=True)
    track.see(NOW - timedelta(minutes=1), jobs=1, pages=500, processing=True)

    assert track.still_s(NOW) == 420
