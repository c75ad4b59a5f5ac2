"""Leave of the signer, asked in the background: a signer that is being restarted is waited for."""

import threading
from collections.abc import Callable

from annexfleet_agent.protocol.envelope import Challenge
from annexfleet_agent.protocol.sealing import SessionKeys
from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.identity import signer
from annexfleet_controller.identity.granting import Refused
from annexfleet_controller.rollouts.relay import words
from annexfleet_controller.rollouts.relay.opening import Leave, NotSigned
from annexfleet_controller.settings import Home

_TRIES = 3
_PAUSE_S = 1.5
_TIMEOUT_S = 4.0
"""All tries together stay below `opening.LEAVE_WITHIN_S`."""

Sign = Callable[[signer.Request], Leave | NotSigned]


class Asker:
    """Asks the signer of a home.  Blocks; any thread may call it."""

    def __init__(self, home: Home, stop: threading.Event) -> None:
        self._home = home
        self._stop = stop

    def __call__(self, request: signer.Request) -> Leave | NotSigned:
        for attempt in range(_TRIES):
            try:
                answer = signer.ask(self._home, request, timeout_s=_TIMEOUT_S)
            except Refused as error:
                return NotSigned(words.not_signed(error.reason, error.detail), error.reason)
            except AnnexfleetError:  # it is away
                if attempt + 1 == _TRIES or self._stop.wait(_PAUSE_S):
                    break
            else:
                return Leave(answer.delivery, SessionKeys(answer.down, answer.up))
        return NotSigned(words.SIGNER_AWAY, "signer_away")


def request_for_run(run_id: int, device_id: str, challenge: Challenge) -> signer.Request:
    return _request("run", str(run_id), device_id, challenge)


def request_for_command(command_id: str, device_id: str, challenge: Challenge) -> signer.Request:
    return _request("command", command_id, device_id, challenge)


def _request(what: str, id_: str, device_id: str, challenge: Challenge) -> signer.Request:
    return signer.Request(
        what=what,  # type: ignore[arg-type]  # one of the two
        id=id_,
        device_id=device_id,
        session=challenge.session,
        boot_id=challenge.boot_id,
        challenge=challenge.challenge,
        keys_version=max(0, challenge.keys_version),
        exchange_key=challenge.exchange_key,
    )
