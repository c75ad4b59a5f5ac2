"""Why a device is not reached, or what went wrong there, in sentences for Ansible's output: they say what to do."""

from annexfleet_agent.protocol.envelope import Result

OFFLINE = "the device is offline: its agent holds no connection to the broker. Run again when it is back"
NO_CHALLENGE = (
    "the device is connected, but its runner did not answer within {seconds:.0f} s. "
    "Is `[runner]` set in its agent.toml, and is its agent new enough? `annexfleet-agent status` there says"
)
NOT_OPENED = "the device's runner did not take up the session; the line may be too bad. Run again"
CUT = (
    "the line was cut in mid-task: nothing was heard for {seconds:.0f} s. "
    "The device finishes what it began; whether it did, only the device knows"
)
RESTARTED = "the device was restarted in mid-task; whether the task was done is not known"
RUNNER_GONE = "the runner on the device ended in mid-task; whether the task was done is not known"
BROKEN = "what came in the device's name was not sealed by its runner; the session was ended"
NONSENSE = "the device's runner answered what this controller cannot read; its agent may be newer than the controller"
BUSY = (
    "the device was busy for {seconds:.0f} s with what an earlier run began there. "
    "Wait until that has ended, or restart its runner"
)
SIGNER_AWAY = (
    "the signer does not answer, so nothing may be sent: is `annexfleet serve` (or `annexfleet signer`) running?"
)
BROKER_AWAY = "this controller has no connection to the broker: is `annexfleet serve` running?"
CANCELLED = "the run was cancelled"
RUN_OVER = "the run is not running (any more)"
ENDING = "the relay is being stopped"
FOREIGN = "the device does not belong to this run"
HOST_ENDED = "the run has ended on this device already"
REVOKED = "the device was revoked"
UNKNOWN = "no device has this id; it is the inventory's host name, or `annexfleet_device_id`"
TAKEN = "run {run} has this device now; wait until it has ended"
DATABASE = "the controller's database cannot be asked now"
TOO_BIG = "the task's parameters are too big for a device; put them into a file"

_REFUSED = {
    "not_allowed": "this device's installation takes no such orders: `[runner]` in its agent.toml says what it takes",
    "not_ready": "the device's runner has no identity or no key yet; renew its certificate (`annexfleet-agent renew`)",
    "keys_wrong": "the device refuses this controller's keys, which are older than those it knows, or of another root",
    "unknown_key": "the device does not know the key that signed: `annexfleet keys show` says which one is in force",
    "expired": "the device found the envelope too old: the way to it, or the controller, is too slow",
    "stale_boot": "the device was restarted while the session was being opened. Run again",
    "replayed": "the device had heard a newer envelope before: something else spoke with it just then. Run again",
}
_SIGNER = {
    "device_unknown": UNKNOWN,
    "device_revoked": REVOKED,
    "no_exchange_key": (
        "the device has no key to seal to: its agent is too old for runs, or has not renewed its certificate since"
    ),
    "exchange_key_differs": (
        "the device's runner has another key than the one that was enrolled: `annexfleet-agent renew` there tells it"
    ),
    "run_unknown": "the run is not known",
    "run_not_running": "the run is not running any more",
    "run_cancelled": CANCELLED,
    "run_overdue": "the run's time is up",
    "not_in_run": FOREIGN,
    "host_ended": HOST_ENDED,
}
_ENDED = {
    "timed_out": "it took longer than allowed and was ended on the device",
    "output_too_big": "it wrote more output than a device sends",
    "memory": "it needed more memory than the device grants",
    "cancelled": "it was cancelled",
    "malformed": "the device's runner could not read the request; its agent may be older than the controller",
    "not_found": "there is no such file on the device",
    "denied": "the device denies it to its runner; does the task need `become: true`?",
    "no_space": "the device's disk is full",
    "digest_differs": "what arrived is not what was sent",
    "manifest_unknown": (
        "the device says that it was not told what the module consists of; its agent may be of another version than "
        "the controller"
    ),
    "failed": "it failed on the device",
    "unknown": "the device cannot tell how it ended",
}


def refused(reason: str) -> str:
    """Why the device's runner refused an envelope."""
    return _REFUSED.get(reason, f"the device refused the session: {reason}")


def not_signed(reason: str, detail: str = "") -> str:
    """Why the signer did not sign."""
    said = _SIGNER.get(reason, f"the signer refused: {reason}")
    return f"{said} ({detail})" if detail and reason not in _SIGNER else said


def ended(result: Result) -> str:
    """What went wrong with a request on the device."""
    said = _ENDED.get(result.error, f"the device says: {result.error}")
    return f"{said} ({result.detail})" if result.detail else said
