"""Whether an envelope may be signed, and what goes into it.  Told everything; no I/O.

Nothing of what the asking relay says goes in but the session, the boot and the challenge that the device told it.
"""

import math
from datetime import datetime, timedelta
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from annexfleet_agent.protocol.commands import COMMANDS, ParameterWrong, Value, checked
from annexfleet_agent.protocol.envelope import CHALLENGE_LIFETIME_S, ActionClass, Arguments
from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.store.signable import SignableCommand, SignableDevice, SignableRun

Reason = Literal[
    "malformed",  # no request of ours
    "device_unknown",
    "device_revoked",
    "no_exchange_key",  # its agent is older, has no runner, or has not renewed yet
    "exchange_key_differs",  # the device has another than it enrolled: it must renew
    "run_unknown",
    "run_not_running",
    "run_cancelled",
    "run_overdue",  # its time is up
    "not_in_run",
    "host_ended",  # the run is done with this device
    "command_unknown",
    "command_ended",
    "command_expired",
    "command_invalid",  # no command of the catalogue, or parameters that cannot be
    "other_device",  # the command is for another
    "clock_wrong",
    "no_keys",
    "keys_behind",  # the device has a newer key set than this controller
    "sequence",  # the number cannot be kept on disk
    "database",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

VALIDITY_S = CHALLENGE_LIFETIME_S
"""Of an envelope: longer than the challenge that it answers, it could not be used anyway."""
_LONGEST_SESSION_S = 7 * 86_400.0
_LONGEST_REQUEST_S = 86_400.0
_AROUND_A_COMMAND_S = 120.0
"""What the session of a command may take besides the command itself."""
_AFTER_A_RUN_S = 30.0
"""The controller ends a run whose time is up.  Only if it cannot, the device does so itself, and not in the same
second: else the task would have failed, of a run that timed out."""
_RUNNING = "running"
_KINDS = ("playbook", "console")


class Refused(AnnexfleetError):
    """Nothing is signed; `reason` is a code.  No use to try again before something else has changed."""

    code = "signing_refused"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"the signer refuses: {reason}" + (f" ({detail})" if detail else ""), reason=reason)
        self.reason = reason
        self.detail = detail


class Grant(Struct, frozen=True):
    """What an envelope is to say."""

    action: ActionClass
    command_id: str
    arguments: Arguments
    expires_at: datetime
    bundle_digest: str = ""


def check_device(device: SignableDevice | None, exchange_key: str) -> SignableDevice:
    """The device, if anything may be signed for it.  `exchange_key`: hexadecimal, as it said; empty: it did not say."""
    if device is None:
        raise Refused("device_unknown")
    if device.is_revoked:
        raise Refused("device_revoked")
    if not device.exchange_key:
        raise Refused("no_exchange_key", "it has no runner, or its agent has not renewed its certificate since")
    if exchange_key not in ("", device.exchange_key.hex()):
        raise Refused("exchange_key_differs", "its runner made a new key; `annexfleet-agent renew` there tells it")
    return device


def for_run(run_id: int, run: SignableRun | None, now: datetime) -> Grant:
    """Leave for one session of a run with one device, for what is left of its time and a little.  Raises Refused."""
    if run is None or run.kind not in _KINDS:
        raise Refused("run_unknown")
    if run.host_state is None:
        raise Refused("not_in_run")
    if run.is_cancelled:
        raise Refused("run_cancelled")
    if run.state != _RUNNING:
        raise Refused("run_not_running", f"it is {run.state}")
    if run.host_state == "ended":
        raise Refused("host_ended")
    spent_s = 0.0 if run.started_at is None else (now - run.started_at).total_seconds()
    left_s = run.timeout_s - max(0.0, spent_s)  # a clock that was set back gives no more
    if not math.isfinite(left_s) or left_s <= 0:
        raise Refused("run_overdue")
    left_s += _AFTER_A_RUN_S
    return Grant(
        "run",
        f"run-{run_id}",
        Arguments(request_timeout_s=min(left_s, _LONGEST_REQUEST_S), session_timeout_s=min(left_s, _LONGEST_SESSION_S)),
        now + timedelta(seconds=VALIDITY_S),
        run.bundle_digest,
    )


def for_command(command_id: str, command: SignableCommand | None, device: SignableDevice, now: datetime) -> Grant:
    """Leave to do one command once.  Raises Refused."""
    if command is None:
        raise Refused("command_unknown")
    if command.device_number != device.number:
        raise Refused("other_device")
    if command.state not in ("waiting", "sent"):
        raise Refused("command_ended", f"it is {command.state}")
    if now >= command.give_up_at:
        raise Refused("command_expired")
    try:
        parameters = checked(command.name, msgspec.json.decode(command.parameters, type=dict[str, Value]))
    except (ParameterWrong, msgspec.DecodeError) as error:
        raise Refused("command_invalid", str(error)) from None
    timeout_s = COMMANDS[command.name].timeout_s
    return Grant(
        "command",
        command_id,
        Arguments(
            command=command.name,
            parameters=parameters,
            receipt_key=command.receipt_key,
            request_timeout_s=timeout_s,
            session_timeout_s=timeout_s + _AROUND_A_COMMAND_S,
        ),
        min(now + timedelta(seconds=VALIDITY_S), command.give_up_at),
    )
