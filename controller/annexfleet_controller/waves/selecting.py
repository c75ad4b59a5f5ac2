"""Which devices a selector means."""

from collections.abc import Iterable

from annexfleet_controller.waves.model import Candidate, Selector


def chosen(candidates: Iterable[Candidate], selector: Selector) -> list[Candidate]:
    """Those that fit all that is named, by id.  An empty selector means every device."""
    tags, without = frozenset(selector.tags), frozenset(selector.without_tags)
    named = [
        (attribute, frozenset(values))
        for attribute, values in (
            ("id", selector.devices), ("annex_id", selector.annexes), ("role", selector.roles),
            ("model", selector.models), ("agent_version", selector.agent_versions), ("readiness", selector.readiness),
        )
        if values
    ]  # fmt: skip
    found = [
        candidate
        for candidate in candidates
        if all(getattr(candidate, attribute) in values for attribute, values in named)
        and (not tags or not tags.isdisjoint(candidate.tags))
        and without.isdisjoint(candidate.tags)
    ]
    return sorted(found, key=lambda candidate: candidate.id)
