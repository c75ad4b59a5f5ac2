"""Rollouts: what was planned, approved and begun, and what became of each device."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class RolloutRow(Base):
    """One rollout."""

    __tablename__ = "rollout"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(120))
    playbook: Mapped[str] = mapped_column(String(80), index=True)
    variables: Mapped[str] = mapped_column(Text, default="{}")
    """JSON, without secrets."""
    secret_names: Mapped[str] = mapped_column(Text, default="[]")
    """JSON: the variables whose values lie in a file of the home until the rollout is over."""
    selector: Mapped[str] = mapped_column(Text)
    """`waves.model.Selector` as JSON."""
    policy: Mapped[str] = mapped_column(Text)
    nature: Mapped[str] = mapped_column(Text)
    """`waves.model.Nature` as JSON, frozen with the targets."""
    configures: Mapped[str] = mapped_column(String(120), index=True)
    targets_digest: Mapped[str] = mapped_column(String(64), default="")
    """SHA-256 of the sorted ids of all devices in its waves; empty while it is a draft."""
    plan_digest: Mapped[str] = mapped_column(String(64), default="")
    """SHA-256 of waves, policy and what is played: what was approved."""
    bundle_digest: Mapped[str] = mapped_column(String(64), default="")
    """Of the library's content at that time; another one means that what was approved is no more."""
    reason: Mapped[str] = mapped_column(String(200), default="")
    of_rollout: Mapped[int | None] = mapped_column(ForeignKey("rollout.id"))
    """The one that this takes back, repeats or repairs."""
    relation: Mapped[str] = mapped_column(String(16), default="")
    """rollback, clone or retry; empty without one"""
    dry_run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id", ondelete="SET NULL"))
    """Runs are forgotten earlier than rollouts may be."""
    deadline_s: Mapped[float] = mapped_column(Float)
    """How long it may take from its start."""
    needs_approval: Mapped[bool] = mapped_column(default=True)
    """By a second person."""
    state: Mapped[str] = mapped_column(String(16), index=True)
    phase: Mapped[str] = mapped_column(String(16), default="")
    wave: Mapped[int] = mapped_column(default=0)
    wave_count: Mapped[int] = mapped_column(default=0)
    wave_since: Mapped[datetime | None]
    state_reason: Mapped[str] = mapped_column(String(200), default="")
    """Why it was paused, stopped or aborted: a code, or a person's words."""
    gate: Mapped[str] = mapped_column(Text, default="")
    """`waves.model.GateVerdict` as JSON, the newest."""
    held: Mapped[str] = mapped_column(Text, default="{}", server_default="{}")
    """JSON: why devices whose turn it is are not begun, by code; their numbers.  Looked at every now and then."""
    author: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(index=True)
    submitted_by: Mapped[str] = mapped_column(String(80), default="")
    submitted_at: Mapped[datetime | None]
    approved_by: Mapped[str] = mapped_column(String(80), default="")
    approved_at: Mapped[datetime | None]
    started_by: Mapped[str] = mapped_column(String(80), default="")
    started_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    """When a person last let it go on after the gate had stopped it."""
    deadline_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    """Rises with every change of state by a person or the conductor: who read an older one may not change it."""
    owner: Mapped[str] = mapped_column(String(64), default="")
    """The conductor that holds the lease."""
    leased_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(default=0)
    """Rises with every new holder of the lease; what an older one writes is refused."""


class RolloutTargetRow(Base):
    """One device of a rollout."""

    __tablename__ = "rollout_target"

    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id", ondelete="CASCADE"), primary_key=True)
    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, index=True)
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"))
    """Where it stood then."""
    wave: Mapped[int]
    position: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id", ondelete="SET NULL"), index=True)
    not_before: Mapped[datetime | None]
    begun_at: Mapped[datetime | None]
    run_ended_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    duration_s: Mapped[float | None] = mapped_column(Float)
    reason: Mapped[str] = mapped_column(String(80), default="")
    """A code that has words."""
    before: Mapped[str] = mapped_column(Text, default="{}")
    """JSON: the facts that matter as it reported them before."""
    after: Mapped[str] = mapped_column(Text, default="{}")


class RolloutEventRow(Base):
    """The story of a rollout: every change of its state, wave and gate."""

    __tablename__ = "rollout_event"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(32))
    """A code that has words: created, submitted, approved, started, wave, gate, paused, resumed, stopped, ..."""
    actor: Mapped[str] = mapped_column(String(80), default="")
    """Empty: the conductor."""
    facts: Mapped[str] = mapped_column(Text, default="{}")


Index("ix_rollout_target_state", RolloutTargetRow.rollout_id, RolloutTargetRow.state)
