"""`annexfleet relay`: what carries Ansible's tasks to devices."""

import argparse
import os
import signal
import threading

from annexfleet_controller.cli import exits, lock
from annexfleet_controller.cli.runs import run_number
from annexfleet_controller.settings import Home

_PARENT_EVERY_S = 1.0


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    relay = commands.add_parser("relay", help="only what carries Ansible to devices, and sends commands")
    relay.add_argument("--run", dest="run_id", type=run_number, metavar="ID", help="for the devices of this run alone")
    relay.set_defaults(run=_relay, log_name="relay")


def _relay(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.rollouts.relay import serving

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # The lock of a run's relay goes with the run's directory.
    place = home.path if args.run_id is None else serving.run_directory(home, args.run_id)
    with lock.held(place, "relay"):
        if args.run_id is not None:
            threading.Thread(target=_end_with_parent, args=(os.getppid(), stop), daemon=True).start()
        serving.run(home, stop, run_id=args.run_id)
    return exits.DONE


def _end_with_parent(parent: int, stop: threading.Event) -> None:
    """A run's relay does not outlive the process of the run: its tasks on devices are ended then."""
    while not stop.wait(_PARENT_EVERY_S):
        if os.getppid() != parent:
            stop.set()
