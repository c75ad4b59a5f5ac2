"""Devices that fell silent, who asks which printer, and certificates."""

import logging
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.exc import DataError

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Change, Gone
from annexfleet_controller.identity import revocation, upkeep
from annexfleet_controller.ingest import probing
from annexfleet_controller.store import changes, configs, figures, parts, pulses, states
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.work.worker import Worker

log = logging.getLogger(__name__)

SILENT_AFTER_BEATS = 2.5
USUAL_BEAT_S = 300.0
_GIVEN_UP_AT_ONCE = 2000


def shut_out_retired(worker: Worker) -> None:
    """Tell the broker of devices that people retired on a page, or that they took back; end their connections.

    A controller without an authority of its own (a worker on another machine) leaves it to the one that has it.
    """
    if not (worker.home.authority_dir / "device-ca.key").exists():
        return
    try:
        revocation.catch_up(worker.home, worker.engine, worker.unkicked, clock=worker.clock)
    except revocation.NotKicked as error:
        # The list is out, so it cannot come back, and its messages are refused in any case; the next turn tries again.
        log.warning("connection of a retired device could not be ended reason=%s", error)


def notice_silence(worker: Worker) -> None:
    """Devices that count as connected but told nothing for two and a half beats are connected no more.

    While nobody listened, nobody could be heard, so silence counts from when ingest began to listen.
    """
    now = worker.clock.now()
    with reading(worker.engine) as db:
        told = figures.read(db)
        candidates = states.silent(db, since=now - timedelta(seconds=SILENT_AFTER_BEATS * USUAL_BEAT_S))
        wished = configs.of_all(db) if candidates else {}
    alive = told.get("ingest_alive_at_seconds", (0.0, now))[0]
    began = told.get("ingest_connected_at_seconds", (0.0, now))[0]
    if now.timestamp() - alive > 60:
        return  # ingest does not listen now
    gone = []
    for device in candidates:
        wish = wished.get(device.number)
        beat_s = max(USUAL_BEAT_S, _beat_seconds(device.beat), (wish and wish.beat_period_s) or 0.0)
        heard_at = max(began, device.heard_at.timestamp() if device.heard_at else 0.0)
        if now.timestamp() - heard_at > SILENT_AFTER_BEATS * beat_s:
            gone.append(device)
    _give_up(worker, gone, now)


def _give_up(worker: Worker, gone: list[states.Silent], now: datetime) -> None:
    for start in range(0, len(gone), _GIVEN_UP_AT_ONCE):
        some = gone[start : start + _GIVEN_UP_AT_ONCE]
        with writing(worker.engine) as db:
            # One that was heard meanwhile keeps its connection.
            lost = states.disconnect(db, some, now=now)
            at = now.timestamp()
            rows = [
                (d.number, at, at, "gone", "", wire.encode(Gone(session_id=d.session_id)))
                for d in some
                if d.number in lost
            ]
            changes.add(db, rows)
            pulses.add(db, dict.fromkeys(sorted(lost), "g"), now=now, origin="work")
        log.info("devices fell silent count=%s", len(lost))


def assign_probers(worker: Worker) -> None:
    """See that each network printer is asked by one device of its annex."""
    now = worker.clock.now()
    with reading(worker.engine) as db:
        reaches = [
            probing.Reach(number, annex_id, address, connected)
            for number, annex_id, connected, payload in parts.of_collector(db, "printers")
            for address in _addresses(payload)
        ]
        wished = configs.of_all(db)
    told = {number: frozenset(wish.printers_probed_elsewhere or ()) for number, wish in wished.items()}
    for number, elsewhere in probing.assign_probers(reaches, told).items():
        if elsewhere == told.get(number, frozenset()):
            continue
        try:
            with writing(worker.engine) as db:
                wish = msgspec.structs.replace(configs.of(db, number), printers_probed_elsewhere=sorted(elsewhere))
                configs.put(db, number, wish, now=now)
        except (DataError, ValueError) as error:  # what this device told does not fit; the others' wishes do
            worker.complain_once("settings of a device cannot be stored", number, error)


def tend_certificates(worker: Worker) -> None:
    """The list of revoked certificates, without which the broker lets nobody in after 30 days, and our own certificate.

    A worker whose home has no authority has nothing to tend: the authority is made where the broker is set up.
    """
    if worker.home.authority_dir.exists():
        upkeep.tend(worker.home, worker.engine, clock=worker.clock)


def _addresses(payload: bytes) -> set[str]:
    try:
        change = wire.decode_up("change", payload)
    except wire.Malformed:
        return set()
    assert isinstance(change, Change)
    found = {of.get("printer_address") for of in change.readings.values()}
    return {address for address in found if isinstance(address, str) and probing.is_network_address(address)}


def _beat_seconds(payload: bytes | None) -> float:
    if payload is None:
        return 0.0
    try:
        beat = wire.decode_up("beat", payload)
    except wire.Malformed:
        return 0.0
    assert isinstance(beat, Beat)
    return beat.seconds
