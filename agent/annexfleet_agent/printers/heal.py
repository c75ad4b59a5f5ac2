"""Whether a print queue that stands still may be set going again.  Thinks only.

With the error policy `stop-printer`, or when a backend asks for it, CUPS stops a queue at the first document it could
not send, and leaves it so long after paper, cable or mains are back.  Who resumes it without knowing why it stopped
prints a hundred times the same half page, or undoes what an administrator wanted.  So each rule below ends in "leave it
alone"; see README.md.
"""

from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from annexfleet_agent.printers.seen import State
from annexfleet_agent.protocol.causes import CAUSES

MOST_ATTEMPTS = 2
"""For one cause, until a document has come out."""
CAUSE_LASTS_S = 12 * 3600.0
"""So long after the last attempt a cause counts as a new one even if nothing came out: the next working day."""
MOST_FAILURES = 2
"""Of one document: then it is the document, or something that no printer tells."""
READINGS_NEEDED = 2
"""In a row, from the printer itself, taken after the stop: a cover that is opened twice is no cover that is closed."""
RECENT_S = 300.0
"""What the printer said at most so long before the stop may be its cause: three rounds of asking."""
SHOWN_S = 900.0
"""A resumption is told so long, that a rule or a person gets to see it."""

_PAUSED = "Paused"
"""What CUPS itself says of a queue that somebody paused without giving a reason (scheduler/ipp.c, stop_printer)."""

Kind = Literal["failure", "person", "unclear"]
"""Who stopped a queue."""
Outcome = Literal["none", "switched_off", "left_alone", "waiting", "resumed", "refused", "gave_up"]
Reason = Literal[
    "none", "cause_present", "settling", "cause_gone", "by_hand", "unclear", "documents_unknown", "same_document",
    "too_often", "cause_unknown", "printer_unknown", "server_denied", "server_failed", "not_recorded",
]  # fmt: skip


Document = tuple[int, int]
"""Number and time of creation: numbers begin anew when a spool is emptied."""


class Trial(NamedTuple):
    """One try of one document that ended with the queue stopped; times are the print server's, in whole seconds."""

    job: int
    created: int
    begun: int

    @property
    def document(self) -> Document:
        return self.job, self.created


class Sight(Struct, frozen=True, kw_only=True):
    """One queue in one pass."""

    stopped: bool
    accepting: bool = True
    said: str = ""
    """The queue's printer-state-message."""
    documents: frozenset[Document] | None = frozenset()
    """Those that wait or print; None if the server did not tell all of them."""
    held: frozenset[Document] = frozenset()
    """Those that somebody put on hold."""
    trials: tuple[tuple[Trial, str], ...] = ()
    """Documents that were begun and put back when the queue stopped, with what was said of it then."""
    remembered: frozenset[str] = frozenset()
    """The printer's causes by the print server's memory, which is that of the end of the last document."""
    told: Literal["told", "unknown", "never"] = "unknown"
    """Whether the printer itself told how it is; `never`: it cannot be asked from here."""
    told_at: float = 0.0
    """On the steady clock."""
    state: State = "unknown"
    causes: frozenset[str] = frozenset()
    """By the printer's own word, or `unreachable`."""


class Watch(Struct, frozen=True, kw_only=True):
    """What this process has seen of a queue's present stop."""

    since: float | None = None
    """On the steady clock, when the server was asked; None while the queue is not stopped."""
    kind: Kind = "unclear"
    said: str = ""
    causes: frozenset[str] = frozenset()
    """What kept the printer from printing, around the stop and since."""
    newest: int = 0
    """When the last document that failed was begun: a later one means another stop, seen or not."""
    clear_at: tuple[float, ...] = ()
    """When the printer was asked, of its last readings without trouble."""
    troubled_at: float = float("-inf")
    troubles: frozenset[str] = frozenset()
    """While the queue is not stopped: what last troubled the printer."""


class Attempt(Struct, frozen=True):
    """A resumption.  `at` is the device's time, `server_at` the print server's; both in seconds."""

    at: float
    server_at: float
    causes: list[str]


class Course(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has to be remembered of a queue across restarts."""

    attempts: list[Attempt] = []
    """Those after which no document has come out yet."""
    trials: list[Trial] = []
    """Of the documents that still wait."""
    last: Attempt | None = None
    """The last one that the print server took."""
    resumed_count: int = 0


class Verdict(Struct, frozen=True, kw_only=True):
    """What to do with a queue, and what to tell of it."""

    outcome: Outcome = "none"
    reason: Reason = "none"
    causes: frozenset[str] = frozenset()
    resume: bool = False


def blocking(causes: frozenset[str], state: State) -> frozenset[str]:
    """Those of a printer's causes that keep it from printing; of the doubtful ones its state decides."""
    doubtful = {"maybe", "partly", "job"} if state == "stopped" else set()
    return frozenset(cause for cause in causes if CAUSES[cause].blocks == "yes" or CAUSES[cause].blocks in doubtful)


def looked(watch: Watch, sight: Sight, *, began: float) -> Watch:
    """What is known of the stop after this pass; `began` is when the pass did, on the steady clock."""
    troubles = blocking(sight.causes, sight.state) if sight.told == "told" else frozenset()
    if not sight.stopped:
        if troubles:
            return Watch(troubled_at=began, troubles=troubles)
        return Watch(troubled_at=watch.troubled_at, troubles=watch.troubles)
    newest = max((trial.begun for trial, _ in sight.trials), default=watch.newest)
    if watch.since is None or newest > watch.newest:
        recent = watch.since is None and began - watch.troubled_at <= RECENT_S
        watch = Watch(since=began, newest=newest, causes=watch.troubles if recent else frozenset())
    causes = watch.causes | troubles | blocking(sight.remembered, "stopped")
    return replace(
        watch, kind=_kind(watch, sight), said=sight.said, causes=causes, clear_at=_clear_at(watch, sight, causes)
    )


def _kind(watch: Watch, sight: Sight) -> Kind:
    """Who stopped the queue.

    After a failure the queue says what the failed document's own printer message says.  A pause takes the queue's
    message away, or puts `Paused` or somebody's reason in its place.
    """
    if watch.kind == "person" or sight.said == _PAUSED or not sight.accepting:
        return "person"
    if watch.kind == "failure":  # the document may be gone by now: somebody withdrew it
        return "failure" if sight.said == watch.said else "person"
    if not sight.trials:
        return "unclear"
    _, said = max(sight.trials, key=lambda trial: trial[0].begun)
    # Both empty is no proof: after a restart of CUPS, a document interrupted by a pause looks like that.
    return "failure" if said and said == sight.said else "unclear"


def _clear_at(watch: Watch, sight: Sight, causes: frozenset[str]) -> tuple[float, ...]:
    if sight.told != "told" or _is_troubled(sight, causes):
        return ()
    since = watch.clear_at[-1] if watch.clear_at else watch.since
    assert since is not None
    # A reading of before the stop says nothing, and neither does the same one twice.
    is_new = sight.told_at > since if watch.clear_at else sight.told_at >= since
    return (*watch.clear_at, sight.told_at)[-READINGS_NEEDED:] if is_new else watch.clear_at


def _is_troubled(sight: Sight, causes: frozenset[str]) -> bool:
    if sight.state not in {"idle", "processing"} or blocking(sight.causes, sight.state):
        return True
    # An idle printer may still want other paper for the document that failed.
    return any(CAUSES[cause].blocks == "job" for cause in causes & sight.causes)


def noted(course: Course, sight: Sight, *, now: float) -> Course:
    """The course with this pass's failures, without documents that are gone and attempts that count no longer."""
    trials = list(course.trials)
    if sight.stopped:
        trials += [trial for trial, _ in sight.trials if trial not in trials]
    if sight.documents is not None:
        trials = [trial for trial in trials if trial.document in sight.documents | sight.held]
    # A clock that was set back makes attempts of the future: they count, too.
    attempts = [attempt for attempt in course.attempts if now - attempt.at <= CAUSE_LASTS_S]
    return replace(course, trials=trials, attempts=attempts)


def decided(course: Course, watch: Watch, sight: Sight, *, denied: bool, now: float) -> Verdict:
    """What to do now.  `denied`: the print server has lately refused to take it from us."""
    if not sight.stopped:
        return _of_a_running_queue(course, now)
    found = _not_ours(watch, sight) or _not_again(course, watch, sight) or _not_yet(watch, sight, denied=denied)
    outcome, reason = found or ("waiting", "cause_gone")
    return Verdict(outcome=outcome, reason=reason, causes=watch.causes, resume=found is None)


def _of_a_running_queue(course: Course, now: float) -> Verdict:
    last = course.last
    if last is None or not 0 <= now - last.at <= SHOWN_S:
        return Verdict()
    return Verdict(outcome="resumed", reason="cause_gone", causes=frozenset(last.causes))


def _not_ours(watch: Watch, sight: Sight) -> tuple[Outcome, Reason] | None:
    if watch.kind == "person":
        return "left_alone", "by_hand"
    if watch.kind == "unclear":
        return "left_alone", "unclear"
    return ("gave_up", "printer_unknown") if sight.told == "never" else None


def _not_again(course: Course, watch: Watch, sight: Sight) -> tuple[Outcome, Reason] | None:
    if sight.documents is None:
        return "gave_up", "documents_unknown"
    failed = [trial.document for trial in course.trials if trial.document in sight.documents]
    if any(failed.count(document) >= MOST_FAILURES for document in failed):
        return "gave_up", "same_document"
    for cause in watch.causes:
        if sum(cause in attempt.causes for attempt in course.attempts) >= MOST_ATTEMPTS:
            return "gave_up", "too_often"
    return None


def _not_yet(watch: Watch, sight: Sight, *, denied: bool) -> tuple[Outcome, Reason] | None:
    if denied:
        return "refused", "server_denied"
    if sight.told == "unknown" or sight.state == "unknown":
        return "waiting", "printer_unknown"
    if _is_troubled(sight, watch.causes):
        return "waiting", "cause_present"
    if len(watch.clear_at) < READINGS_NEEDED:
        return "waiting", "settling"
    if not watch.causes:
        return "gave_up", "cause_unknown"
    return None
