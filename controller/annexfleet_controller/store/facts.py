"""Facts as the database keeps them.  JSON has no infinity: a number that is none is left out."""

import math

import msgspec

from annexfleet_controller.things import Facts


def written(facts: Facts) -> str:
    if not all(isinstance(fact, str) or math.isfinite(fact) for fact in facts.values()):
        facts = {name: fact for name, fact in facts.items() if isinstance(fact, str) or math.isfinite(fact)}
    return msgspec.json.encode(facts).decode()
