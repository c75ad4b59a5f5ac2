"""Labels beside incidents: which were found, how late, and what was told that was nothing."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from tests.bench.week.truth import Label

from annexfleet_controller.things import Incident

ENDS_WITHIN = timedelta(minutes=15)


class Score(Struct):
    """How one cause went."""

    labelled: int = 0
    found: int = 0
    told: int = 0
    """Incidents, without those of optional labels."""
    right: int = 0
    delays_s: list[float] = []

    @property
    def precision(self) -> float:
        return self.right / self.told if self.told else 1.0

    @property
    def recall(self) -> float:
        return self.found / self.labelled if self.labelled else 1.0


class Outcome(Struct):
    scores: dict[str, Score]
    missed: list[Label]
    wrong: list[Incident]
    late_ends: list[tuple[Label, Incident]]


def name_of(incident: Incident) -> str:
    """Under which cause an incident is counted."""
    if incident.kind in ("power_cut", "line_cut", "portal_down", "portal_down_everywhere"):
        return incident.kind
    if incident.cause in ("disk_low", "disk_critical"):
        return "disk"
    if incident.cause == "queue_critical":
        return "queue_long"
    if incident.cause == "supply_empty":
        return "toner_empty"
    return incident.cause or incident.kind


def compare(labels: Sequence[Label], incidents: Sequence[Incident], now: datetime) -> Outcome:
    """Each label takes the first incident of its kind and thing that overlaps it and came in time."""
    outcome = Outcome({}, [], [], [])
    scores: dict[str, Score] = defaultdict(Score)
    taken: dict[int, Label] = {}
    for label in sorted(labels, key=lambda one: (one.optional, one.began)):
        fitting = [one for one in incidents if one.id not in taken and _fits(label, one, now)]
        if label.optional:  # it may be told, at any time and, after a cause of it has gone, once more
            taken |= {one.id: label for one in fitting}
            continue
        first = min(fitting, key=lambda one: (name_of(one) != label.cause, one.opened_at), default=None)
        if first is not None:
            taken[first.id] = label
        score = scores[label.cause]
        score.labelled += 1
        if first is None:
            outcome.missed.append(label)
            continue
        score.found += 1
        score.delays_s.append(max(0.0, (first.opened_at - label.began).total_seconds()))
        ended = first.ended_at or first.resolved_at or now
        if abs(ended - label.ended) > ENDS_WITHIN:
            outcome.late_ends.append((label, first))
    for incident in incidents:
        label = taken.get(incident.id)
        if label is not None and label.optional:
            continue
        score = scores[label.cause if label is not None else name_of(incident)]
        score.told += 1
        if label is None:
            outcome.wrong.append(incident)
        else:
            score.right += 1
    outcome.scores = dict(sorted(scores.items()))
    return outcome


def _fits(label: Label, incident: Incident, now: datetime) -> bool:
    if incident.kind != label.kind or incident.thing != label.thing:
        return False
    ended = incident.ended_at or incident.resolved_at or now
    slack = timedelta(minutes=2)
    if label.optional and label.kind != "queue" and name_of(incident) != label.cause:
        return False
    overlaps = incident.began_at <= label.ended + slack and ended >= label.began - slack
    return overlaps and (label.optional or incident.opened_at <= label.found_by)
