"""Forecasts of a whole province's supplies, made in a process of its own.

They take seconds of a country, and a thread that computes that long holds up every other one of its process: each
step of a query gives the interpreter away, and waits to get it back.
"""

import os
import subprocess
import sys
from datetime import datetime

import msgspec
from msgspec import Struct
from sqlalchemy import Engine

from annexfleet_controller.store import supply_plan
from annexfleet_controller.store.database import open_database, reading
from annexfleet_controller.supplies.forecast import SupplyForecast

LONGEST_S = 600.0


class NotForetold(Exception):
    """The process failed, or took too long; what it said stands in the message."""


class _Asked(Struct, frozen=True):
    database_url: str
    """On its standard input and not among its arguments: it may hold a password."""
    now: datetime
    lead_days: float


def begin(engine: Engine, *, now: datetime, lead_days: float) -> "Foretelling":
    """Begin to make them, as of `now`."""
    url = engine.url.render_as_string(hide_password=False)
    return Foretelling(_Asked(url, now, lead_days))


class Foretelling:
    """A process that makes forecasts."""

    def __init__(self, asked: _Asked) -> None:
        self._asked = asked
        self._process = subprocess.Popen(  # noqa: S603  # ourselves
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def result(self) -> list[SupplyForecast]:
        """Waits for it.  Raises NotForetold."""
        try:
            told, said = self._process.communicate(msgspec.json.encode(self._asked), timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            self.stop()
            self._process.communicate()
            raise NotForetold(f"not done within {LONGEST_S:.0f} s") from None
        if self._process.returncode:
            raise NotForetold(said.decode(errors="replace")[-500:])
        return _forecasts.decode(told)

    def stop(self) -> None:
        """Whoever waits for the result gets NotForetold."""
        self._process.kill()


_forecasts = msgspec.msgpack.Decoder(list[SupplyForecast])


def main() -> int:
    os.nice(10)  # pages and ingest come first
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=_Asked)
    engine = open_database(asked.database_url)
    with reading(engine) as db:
        found = supply_plan.of_all(db, now=asked.now, lead_days=asked.lead_days)
    sys.stdout.buffer.write(msgspec.msgpack.encode(found))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
