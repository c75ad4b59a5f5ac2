"""What a relay carried, for the bench and for whoever wonders why a run took long."""

import logging
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

log = logging.getLogger(__name__)

FILE = "relay.json"


class Told(Struct, frozen=True):
    """The file in the run's directory.  Bytes are those of MQTT payloads."""

    to_devices_bytes: int
    from_devices_bytes: int
    requests: int
    sessions: int
    refusals: dict[str, int]
    """By reason: what runners refused, and `broken` or `nonsense` for what came in their names."""
    devices: dict[str, tuple[int, int]]
    """Bytes to each, and from it."""


class Figures:
    def __init__(self) -> None:
        self.requests = 0
        self.sessions = 0
        self._refusals: Counter[str] = Counter()
        self._to: Counter[str] = Counter()
        self._from: Counter[str] = Counter()

    def sent(self, device_id: str, size_bytes: int) -> None:
        self._to[device_id] += size_bytes

    def knows(self, device_id: str) -> bool:
        """Whether anything was sent to it."""
        return device_id in self._to

    def heard(self, device_id: str, size_bytes: int) -> None:
        self._from[device_id] += size_bytes

    def refused(self, device_id: str, reason: str) -> None:
        self._refusals[reason] += 1
        log.warning("a device refused, or something was said in its name device=%s reason=%s", device_id, reason)

    def told(self) -> Told:
        return Told(
            to_devices_bytes=self._to.total(),
            from_devices_bytes=self._from.total(),
            requests=self.requests,
            sessions=self.sessions,
            refusals=dict(self._refusals),
            devices={id_: (self._to[id_], self._from[id_]) for id_ in {*self._to, *self._from}},
        )

    def write(self, directory: Path) -> None:
        """Leave them in the run's directory, and the sums in the log."""
        told = self.told()
        log.info(
            "relay carried requests=%s sessions=%s devices=%s to_devices_bytes=%s from_devices_bytes=%s refusals=%s",
            told.requests, told.sessions, len(told.devices), told.to_devices_bytes, told.from_devices_bytes,
            sum(told.refusals.values()),
        )  # fmt: skip
        try:
            (directory / FILE).write_bytes(msgspec.json.encode(told))
        except OSError as error:
            log.warning("the relay's figures are not kept reason=%s", error)
