"""Agent settings and portal checks as they leave: only with a run of the playbook, for the devices that it begins.

What is sent travels over MQTT (`store.configs`, `ingest.downlink`), so Ansible has no part in it; but it is decided in
the transaction that begins the run, so that no device is ever told other settings without a rollout.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from msgspec import structs
from sqlalchemy.orm import Session

from annexfleet_controller.desired.resolve import settings
from annexfleet_controller.errors import VariableWrong
from annexfleet_controller.rollouts import wanting
from annexfleet_controller.store import configs, desired
from annexfleet_controller.store.scope import WHOLE


def send_with_run(
    db: Session, playbook: str, variables: Mapping[str, Any], numbers: Collection[int], *, now: datetime
) -> int:
    """Let the settings of the run's revision be sent to the devices that a run begins; how many get other ones.

    Of any other playbook nothing is sent.  Call it in the transaction that makes the run, and not for a dry run.  Which
    printers another device asks (`printers_probed_elsewhere`) is not decided in layers, and stays as it is.
    """
    if playbook != wanting.PLAYBOOK:
        return 0
    sent = 0
    before = configs.meant(db, numbers)
    for number, resolved in wanting.of_devices(
        db, WHOLE, revision=int(variables[wanting.VARIABLE]), numbers=numbers
    ).items():
        of = settings(resolved)
        had = before[number].settings if number in before else None
        wish = of if had is None else structs.replace(of, printers_probed_elsewhere=had.printers_probed_elsewhere)
        if had == wish or (had is None and wish == type(wish)()):
            continue
        configs.put(db, number, wish, now=now)
        sent += 1
    return sent


def demand_revision(db: Session, playbook: str, variables: Mapping[str, Any]) -> None:
    """See that the layers have been at the revision that a run names: a later one could still come to be anything.

    Raises VariableWrong.
    """
    if playbook != wanting.PLAYBOOK:
        return
    revision = variables.get(wanting.VARIABLE)
    if not isinstance(revision, int) or not 1 <= revision <= desired.newest(db):
        raise VariableWrong(
            f"variable {wanting.VARIABLE}: not a choice", field=wanting.VARIABLE, reason="not_a_choice"
        )  # fmt: skip
