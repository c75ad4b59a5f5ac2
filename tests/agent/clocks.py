"""A clock that a test turns."""


class TurnedClock:
    """Wall clock and steady clock of a device, both standing still until turned."""

    def __init__(self, now: float = 1_795_400_000.0, mono: float = 1000.0) -> None:
        self._now = now
        self._mono = mono

    def now(self) -> float:
        return self._now

    def mono(self) -> float:
        return self._mono

    def turn(self, seconds: float) -> None:
        """Time passes."""
        self._now += seconds
        self._mono += seconds

    def set_wall(self, by_seconds: float) -> None:
        """Somebody sets the device's clock; no time passes."""
        self._now += by_seconds
