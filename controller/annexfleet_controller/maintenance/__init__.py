"""Planned work: what it covers, when it lasts, and which alerts it keeps quiet.  Thinks only."""

from annexfleet_controller.maintenance.muting import About, active, mute
from annexfleet_controller.maintenance.parsing import Draft, Reason, moved_end, parse
from annexfleet_controller.maintenance.plan import (
    Area,
    Condition,
    Maintenance,
    Span,
    Weekly,
    condition,
    ended_between,
    last_moment,
    next_span,
    span_at,
    spans,
    stopped,
)

__all__ = [
    "About",
    "Area",
    "Condition",
    "Draft",
    "Maintenance",
    "Reason",
    "Span",
    "Weekly",
    "active",
    "condition",
    "ended_between",
    "last_moment",
    "moved_end",
    "mute",
    "next_span",
    "parse",
    "span_at",
    "spans",
    "stopped",
]
