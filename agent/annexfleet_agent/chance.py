"""Numbers drawn to spread load.  Not the module random: with what it imports it weighs 270 KiB in memory."""

import os
from typing import Protocol


class Chance(Protocol):
    """Where numbers are drawn from; random.Random is one too."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number from a to b, each as likely as the other."""


class SystemChance:
    """Drawn from what the operating system collects."""

    def uniform(self, a: float, b: float, /) -> float:
        return a + (b - a) * int.from_bytes(os.urandom(6)) / 2**48


def new_id(size: int) -> str:
    """So many random bytes in hex: a name that nothing else has."""
    return os.urandom(size).hex()
