"""Devices that told something new, or of which something else is wanted, are compared with what is wanted of them."""

from collections.abc import Mapping

from annexfleet_controller.desired.document import Document
from annexfleet_controller.desired.resolve import Layer
from annexfleet_controller.rollouts import drifting
from annexfleet_controller.store import desired, desired_drift
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.desired_drift import Compared
from annexfleet_controller.work.worker import Worker

AT_ONCE = 500
MOST_AT_ONCE = 5_000
"""In one go: a province decided anew takes some seconds, and other jobs wait for this one."""

_Layers = tuple[int, Mapping[Layer, Document]]


def compare_desired(worker: Worker) -> None:
    """Compare whom it is time to compare, and note as of when everybody is."""
    began, after, layers = worker.clock.now(), 0, None
    for _ in range(MOST_AT_ONCE // AT_ONCE):
        found, after, layers = _compared(worker, after, layers)
        if after == 0:
            with writing(worker.engine) as db:
                desired_drift.note_as_of(db, began)
            return
        with writing(worker.engine) as db:
            if not drifting.keep(db, found, revision=layers[0], now=worker.clock.now()):
                return  # somebody decided meanwhile: the next time, with that
        if not worker.go_on():
            return


def _compared(worker: Worker, after: int, layers: _Layers | None) -> tuple[list[Compared], int, _Layers]:
    """What comes of the next devices, the last one's number, 0 where none is left, and the layers now."""
    with reading(worker.engine) as db:
        revision = desired.newest(db)
        if layers is None or layers[0] != revision:
            layers = revision, desired.layers(db)
        some = drifting.outdated(db, after=after, at_most=AT_ONCE)
        if not some:
            return [], 0, layers
        try:
            return drifting.compared(db, some, layers[1]), max(some), layers
        except (ValueError, TypeError, LookupError, AssertionError):
            pass  # what one of them told is beyond us; which one, the next lines find out
        found = []
        for number, basis in some.items():
            try:
                found += drifting.compared(db, {number: basis}, layers[1])
            except (ValueError, TypeError, LookupError, AssertionError) as error:
                worker.complain_once("a device cannot be compared with what is wanted of it", number, error)
        return found, max(some), layers
