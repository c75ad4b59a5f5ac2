"""What the process of a run tells of it, batch by batch.  Structs only."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

RESULT_STATES = ("ok", "changed", "failed", "ignored", "skipped", "unreachable")


class Task(Struct, frozen=True, kw_only=True):
    number: int
    """1, 2, 3 … in the order in which they were first begun."""
    key: str
    """The same for the same task in every attempt at the run."""
    name: str
    action: str = ""
    predictable: bool = True


class Result(Struct, frozen=True, kw_only=True):
    """What one task did on one device."""

    device_number: int
    task_number: int
    state: str
    """One of RESULT_STATES."""
    duration_s: float = 0.0
    message: str = ""
    diff_digest: str = ""


class Progress(Struct, frozen=True, kw_only=True):
    """How one device stands; None leaves a field as it is."""

    device_number: int
    state: str
    outcome: str = ""
    ok_count: int | None = None
    changed_count: int | None = None
    failed_count: int | None = None
    skipped_count: int | None = None
    task_number: int | None = None
    task: str | None = None
    message: str | None = None
    diff_digest: str | None = None


class Batch(Struct, frozen=True, kw_only=True):
    """What is new since the batch before."""

    tasks: Sequence[Task] = ()
    results: Sequence[Result] = ()
    hosts: Sequence[Progress] = ()
    diffs: Mapping[str, str] = {}
    """Text by digest."""

    @property
    def is_empty(self) -> bool:
        return not (self.tasks or self.results or self.hosts or self.diffs)
