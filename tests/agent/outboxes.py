"""Outboxes to try, and small items to fill them with."""

from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages, wire

MB = 1_000_000


def opened(path, *, max_bytes=MB, boot_id="boot", owner=""):
    return Outbox(path, max_bytes=max_bytes, boot_id=boot_id, owner=owner)


def beat(at=1000.0, size=0):
    return messages.Beat(seq=UNNUMBERED, at=at, seconds=300, numbers={"x" * size: {"cpu_used_ratio": 0.5}})


def change(at=1000.0, collector="cpu", size=0):
    return messages.Change(seq=UNNUMBERED, at=at, collector=collector, readings={"x" * size: {"cpu_count": 2}})


def receipt(at=1000.0):
    return messages.Receipt(seq=UNNUMBERED, at=at, command_id="c", outcome="refused")


def inventory(at=1000.0):
    return messages.Inventory(seq=UNNUMBERED, at=at, digest="d")


def waiting(outbox):
    return [(item.seq, item.kind) for item in outbox.first(1_000_000)]


def accounted_for(outbox):
    """Every number that is stored or told to be missing."""
    seqs = set()
    for item in outbox.first(1_000_000):
        seqs.add(item.seq)
        if item.kind == "gap":
            for first, last in wire.decode_up("gap", item.payload()).ranges:
                seqs.update(range(first, last + 1))
    return seqs
