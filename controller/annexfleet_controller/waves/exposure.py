"""How much of each kind of device a plan exposes before one of that kind has soaked.

A *kind* is what a fault may be of: an annex, a model, a role with a model.  No canary has room for all of them: a
province of 150 devices has 15 annexes, and 5 % of it are 7.  So of a kind that has not soaked yet no more than LEAST
devices or SHARE of it are begun; whatever a release does to that kind alone, it does to no more than these.  A kind is
known once enough of it were in earlier waves: one device while the gate hears a single one that ails, two afterwards.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from annexfleet_controller.waves.comparing import hears_one
from annexfleet_controller.waves.model import Candidate, Policy

SHARE = 0.05
LEAST = 2

Kind = tuple[str, ...]


def kinds(of: Candidate) -> tuple[Kind, ...]:
    """What a fault that this device shows may be a fault of."""
    found: list[Kind] = [("both", of.role, of.model), ("annex", of.annex_id)]
    if of.model:
        found.insert(0, ("model", of.model))
    return tuple(found)


class Exposure:
    """What is begun of each kind, wave after wave."""

    def __init__(self, of_devices: Iterable[Sequence[Kind]], policy: Policy, *, rank: Callable[[Kind], int]) -> None:
        """`rank` orders annexes; models come before all of them, for they are few and everywhere."""
        self._policy = policy
        self._all = Counter(kind for of in of_devices for kind in of)
        self._begun = Counter[Kind]()
        self._soaked = Counter[Kind]()
        self._is_one_heard = True
        self._unknown = sorted(self._all, key=lambda kind: (kind[0] == "annex", rank(kind), kind))

    def has_room(self, of: Sequence[Kind]) -> bool:
        """Whether one more device of these kinds may be in this wave."""
        return all(self._is_known(kind) or self._begun[kind] < self._most(kind) for kind in of)

    def begin(self, of: Sequence[Kind]) -> None:
        self._begun.update(of)

    def wanting(self, *, touched: int) -> list[Kind]:
        """Kinds that are not known yet and had better be begun in this wave, after which `touched` devices will be."""
        self._is_one_heard = hears_one(touched, self._policy.most_bad_ratio)
        return [kind for kind in self._unknown if self.wants(kind)]

    def wants(self, kind: Kind) -> bool:
        """Whether more of it are needed before it can be known."""
        return self._begun[kind] < self._needed(kind)

    def soak(self, *, touched: int) -> None:
        """The wave is full; it will have soaked before the next.  `touched`: devices begun by then."""
        is_heard = hears_one(touched, self._policy.most_bad_ratio)
        for kind in self._unknown:
            if self._begun[kind] >= (1 if is_heard else self._needed_of_many(kind)):
                self._soaked[kind] = self._begun[kind]
        self._unknown = [kind for kind in self._unknown if not self._soaked[kind]]

    def _is_known(self, kind: Kind) -> bool:
        return self._soaked[kind] > 0

    def _needed(self, kind: Kind) -> int:
        return 1 if self._is_one_heard else self._needed_of_many(kind)

    def _needed_of_many(self, kind: Kind) -> int:
        return min(2, self._all[kind])

    def _most(self, kind: Kind) -> int:
        return max(LEAST, math.floor(SHARE * self._all[kind]), self._policy.canary_count)
