"""Fills an outbox and tells what it stored, until it is killed.  `python outbox_filler.py <file> <max bytes>`.

Prints a line after each `put` has returned: the numbers and a digest of what was put.  Acknowledges now and then, and
says so before.
"""

import sys
from pathlib import Path

from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages


def main() -> None:
    outbox = Outbox(Path(sys.argv[1]), max_bytes=int(sys.argv[2]), boot_id="boot")
    print("install", outbox.install_id, flush=True)
    number = outbox.next_seq
    while True:
        beat = messages.Beat(seq=UNNUMBERED, at=number, seconds=300, numbers={"": {"cpu_used_ratio": number}})
        change = messages.Change(seq=UNNUMBERED, at=number, collector="cpu", readings={"": {"cpu_count": number}})
        seqs = outbox.put(beat, change)
        print("put", *seqs, flush=True)
        if number % 7 == 0:
            upto = seqs[0] - 5
            print("ack", upto, flush=True)
            outbox.ack(upto)
        number = outbox.next_seq


main()
