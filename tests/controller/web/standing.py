"""Annexes as the watch may find them."""

from annexfleet_controller.readiness.model import AnnexReadiness, Fix, Leaf, Reason, Remedy, ServiceReadiness
from annexfleet_controller.things import Thing

PRINTER = Thing("printer", "3f0c9a3b1d5e7f90aa11bb22")
PAPER = Fix("paper_empty", PRINTER, "tray-1")


def blocked(annex_id: str, *, name: str = "guichet-hp") -> AnnexReadiness:
    """Two services lack paper in the only printer; one counter of three is off."""
    printer = Leaf(PRINTER, name, "failing", frozenset({PAPER}))
    off = Thing("device", "d-" + "a" * 26)
    counter = Leaf(off, "guichet-3", "failing", frozenset({Fix("device_offline", off)}))
    lacks_print = Reason("print", "blocked", 0, 0, 1, 1, (printer,))
    counters = Reason("counter", "degraded", 2, 0, 1, 3, (counter,))
    return AnnexReadiness(
        annex_id,
        (
            ServiceReadiness("etat-civil", "blocked", (lacks_print, counters), (PAPER,)),
            ServiceReadiness("legalisation", "degraded", (counters,)),
            ServiceReadiness(
                "residence", "blocked", (lacks_print,), (PAPER,), (Reason("counter", "ready", 3, 0, 1, 3, ()),)
            ),
        ),
        (Remedy((PAPER,), ("etat-civil", "residence")),),
    )


def ready(annex_id: str) -> AnnexReadiness:
    return AnnexReadiness(annex_id, (ServiceReadiness("residence", "ready"),))
