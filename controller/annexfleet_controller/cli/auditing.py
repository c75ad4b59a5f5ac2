"""`annexfleet audit`: whether what was written about who did what is still as it was written."""

import argparse

from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import opened_engine
from annexfleet_controller.settings import Home

_REASONS = {
    "changed": "was changed after it was written",
    "missing": "is missing",
    "unlinked": "does not follow the one before it",
    "forged": "is not the one that was noted in the home: the chain was computed anew",
}


class ChainBroken(exits.NotReady):
    """An entry is not as it was written."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    audit = commands.add_parser("audit", help="verify the record of who did what")
    actions = audit.add_subparsers(required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify",
        help="read every entry and check that none was changed, left out or put in",
        description="Also checks against the note that `work` keeps in the home (audit-checkpoint), so that a tail "
        "that was cut off is found. Where a database of before was put back on purpose, remove that file afterwards.",
    )
    verify.set_defaults(run=_verify)


def _verify(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import audit
    from annexfleet_controller.store.database import reading
    from annexfleet_controller.work.audit import checkpoint, checkpoint_path

    try:
        noted = checkpoint(home)
    except ValueError as error:
        raise ChainBroken(f"{checkpoint_path(home)} is not as it was written: {error}") from error
    with opened_engine(home) as engine, reading(engine) as db:
        bad = audit.verify(db, checkpoint=noted)
        newest = audit.tail(db)
    if bad is not None:
        raise ChainBroken(f"The audit is not as it was written: entry {bad.id} {_REASONS[bad.reason]}.")
    count = 0 if newest is None else newest.id
    print(f"{count} entries, each as it was written" + (f"; the newest is {newest.digest}" if newest else "") + ".")
    if noted is None:
        print("No entry has been noted outside of the database yet: a tail that was cut off would not show.")
    return exits.DONE
