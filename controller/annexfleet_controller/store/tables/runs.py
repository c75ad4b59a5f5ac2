"""Ansible runs: what was asked for, and what became of each device."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class RunRow(Base):
    """One Ansible run."""

    __tablename__ = "run"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(16))
    """playbook, or console: a plain ansible-playbook on the controller."""
    playbook: Mapped[str] = mapped_column(String(80))
    variables: Mapped[str] = mapped_column(Text, default="{}")
    """JSON.  Secrets are not among them: they lie in a file of the run until it ends."""
    secret_names: Mapped[str] = mapped_column(Text, default="[]")
    """JSON: the names of the variables whose values are only in that file."""
    check: Mapped[bool] = mapped_column("check_only", default=False)
    """A dry run: tells what would change and changes nothing."""
    forks: Mapped[int]
    timeout_s: Mapped[float] = mapped_column(Float)
    bundle_digest: Mapped[str] = mapped_column(String(64), default="")
    """SHA-256 of playbooks, variables and kind of run as they were asked for; empty for a console."""
    targets_digest: Mapped[str] = mapped_column(String(64), default="")
    """SHA-256 of the sorted ids of its devices."""
    author: Mapped[str] = mapped_column(String(80))
    reason: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    """queued, running or ended"""
    outcome: Mapped[str] = mapped_column(String(16), default="")
    """ok, failed, cancelled, timed_out or unknown; empty until it ended"""
    problem: Mapped[str] = mapped_column(String(64), default="")
    """A code that has words, if the run itself went wrong."""
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    """When its process last said that it lives."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often a process was started for it."""
    cancelled_at: Mapped[datetime | None]
    """When somebody asked for its end."""
    cancelled_by: Mapped[str] = mapped_column(String(80), default="")
    task_count: Mapped[int] = mapped_column(default=0)
    """The highest number of a task so far."""


class RunHostRow(Base):
    """One device of a run."""

    __tablename__ = "run_host"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, index=True)
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"))
    """Where it stood then."""
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    """waiting, running or ended"""
    outcome: Mapped[str] = mapped_column(String(16), default="")
    """ok, changed, failed, unreachable, cancelled, unknown or skipped; empty until it ended"""
    ok_count: Mapped[int] = mapped_column(default=0)
    changed_count: Mapped[int] = mapped_column(default=0)
    failed_count: Mapped[int] = mapped_column(default=0)
    skipped_count: Mapped[int] = mapped_column(default=0)
    task_number: Mapped[int] = mapped_column(default=0)
    task: Mapped[str] = mapped_column(String(200), default="")
    """The task that runs, or the one that failed."""
    message: Mapped[str] = mapped_column(Text, default="")
    """Why it failed or was not reached, in Ansible's words, masked and cut."""
    diff_digest: Mapped[str] = mapped_column(String(64), default="")
    """SHA-256 of all that a dry run would change here; devices with the same one change alike."""
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class RunTaskRow(Base):
    """A task of a run, in the order in which it was first begun."""

    __tablename__ = "run_task"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    uuid: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(100), default="")
    predictable: Mapped[bool] = mapped_column(default=True)
    """False in a dry run for a task that was skipped because nobody can tell what it would do."""


class RunResultRow(Base):
    """What one task did on one device."""

    __tablename__ = "run_result"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    device_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    """ok, changed, failed, ignored, skipped or unreachable"""
    duration_s: Mapped[float] = mapped_column(Float, default=0.0)
    message: Mapped[str] = mapped_column(Text, default="")
    diff_digest: Mapped[str] = mapped_column(String(64), default="")


class RunDiffRow(Base):
    """The text of a difference, kept once a run."""

    __tablename__ = "run_diff"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    """Masked; cut at 64 KiB."""


class RunClaimRow(Base):
    """A device belongs to one run at a time."""

    __tablename__ = "run_claim"

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), index=True)
    claimed_at: Mapped[datetime]


Index("ix_run_result_of_task", RunResultRow.run_id, RunResultRow.task_number)
