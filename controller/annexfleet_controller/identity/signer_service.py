"""`annexfleet signer`: the process that listens on the signer's socket.  One a home; the caller holds its lock.

Each connection has a thread of its own for as long as it takes, at most some seconds.  Only this user and root may ask,
and whatever they send, the process goes on.
"""

import logging
import os
import socket
import threading

import msgspec

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.identity import files
from annexfleet_controller.identity.granting import Refused
from annexfleet_controller.identity.signer import (
    ASKS_STATUS,
    MAX_REQUEST_BYTES,
    Reply,
    Request,
    Signer,
    socket_path,
)
from annexfleet_controller.identity.unix_streams import BrokenOff, all_of, listening, peer
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import open_database

log = logging.getLogger(__name__)

_HEAR_WITHIN_S = 5.0
_SAY_WITHIN_S = 5.0
_AT_ONCE = 32
_LOOK_UP_S = 0.5
"""How soon it notices that it shall stop."""


def run(home: Home, stop: threading.Event, *, clock: Clock = SYSTEM) -> None:
    """Answer until told to stop.  Raises SigningBroken for a sequence that cannot be read, and OSError."""
    files.private_directory(home.signer_dir)
    engine = open_database(home.database_url)
    try:
        signer = Signer(home, engine, clock=clock)
        with listening(socket_path(home)) as listener:
            listener.settimeout(_LOOK_UP_S)
            found = signer.status()
            log.info("the signer listens keys_version=%s key=%s", found.keys_version, found.key_id)
            _serve(listener, signer, stop)
    finally:
        engine.dispose()


def _serve(listener: socket.socket, signer: Signer, stop: threading.Event) -> None:
    free = threading.BoundedSemaphore(_AT_ONCE)
    threads: set[threading.Thread] = set()
    while not stop.is_set():
        try:
            line, _ = listener.accept()
        except TimeoutError:
            continue
        except OSError as error:
            # Out of descriptors, or the other side was gone already.
            log.warning("a connection could not be taken error=%s", error)
            stop.wait(_LOOK_UP_S)
            continue
        free.acquire()
        thread = threading.Thread(target=_answer, args=(line, signer, free), daemon=True)
        thread.start()
        threads = {known for known in threads if known.is_alive()} | {thread}
    for thread in threads:
        thread.join(_HEAR_WITHIN_S)


def _answer(line: socket.socket, signer: Signer, free: threading.BoundedSemaphore) -> None:
    try:
        with line:
            process, user = peer(line)
            if user not in (0, os.geteuid()):
                log.error("another user asked and is not heard user=%s process=%s", user, process)
                return
            reply = _reply(all_of(line, MAX_REQUEST_BYTES, _HEAR_WITHIN_S), signer, process)
            line.settimeout(_SAY_WITHIN_S)
            line.sendall(msgspec.json.encode(reply))
    except (BrokenOff, OSError) as error:
        log.warning("a request broke off error=%s", error)
    except Exception:  # the fence: one request must not end the signer
        log.exception("a request failed")
    finally:
        free.release()


def _reply(content: bytes, signer: Signer, process: int) -> Reply:
    if content == ASKS_STATUS:
        return Reply(status=signer.status())
    try:
        request = msgspec.json.decode(content, type=Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        log.warning("a request cannot be read process=%s error=%s", process, error)
        return Reply(refused="malformed", detail=str(error)[:200])
    try:
        answer = signer.judge(request)
    except Refused as error:
        log.warning(
            "nothing is signed what=%s id=%s device=%s process=%s reason=%s",
            request.what, request.id, request.device_id, process, error.reason,
        )  # fmt: skip
        return Reply(refused=error.reason, detail=error.detail[:300])
    log.info(
        "signed what=%s id=%s device=%s process=%s sequence=%s",
        request.what, request.id, request.device_id, process, answer.sequence,
    )  # fmt: skip
    return Reply(answer=answer)
