"""The one source of time in the controller, so that tests can turn it."""

import time
from datetime import UTC, datetime


class Clock:
    def now(self) -> datetime:
        """This moment, aware, in UTC."""
        return datetime.now(UTC)

    def mono(self) -> float:
        """Seconds since some moment; never steps."""
        return time.monotonic()


SYSTEM = Clock()
