"""What every collector gives back: readings, and for each that is missing, why.

A collector fails alone and field by field: one unreadable file costs the metrics that needed it and no others.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct, field

from annexfleet_agent.protocol.messages import ProblemCode, Problems, Readings, Value


class Problem(Struct, frozen=True):
    """Why a reading is missing.  Only the code leaves the device; the detail is for `annexfleet-agent check`."""

    code: ProblemCode
    detail: str = ""


class Report(Struct):
    """One pass of one collector."""

    readings: Readings = field(default_factory=dict)
    problems: dict[str, dict[str, Problem]] = field(default_factory=dict)

    def put(self, subject: str, metric: str, value: Value) -> None:
        self.readings.setdefault(subject, {})[metric] = value

    def miss(self, subject: str, metric: str, code: ProblemCode, detail: str = "") -> None:
        """Say why a metric is missing; `*` stands for everything of that subject."""
        self.problems.setdefault(subject, {})[metric] = Problem(code, detail[:200])

    @contextmanager
    def trying(self, subject: str, *metrics: str) -> Iterator[None]:
        """Turn what usually goes wrong while reading these metrics into problems, and go on after them."""
        try:
            yield
        except Exception as error:  # the fence: whatever a driver or kernel comes up with spoils only these
            for metric in metrics:
                self.miss(subject, metric, code_for(error), f"{type(error).__name__}: {error}")

    def codes(self) -> Problems:
        """The problems as they go on the wire."""
        return {subject: {m: p.code for m, p in of.items()} for subject, of in self.problems.items()}


class Collector(Struct, frozen=True, kw_only=True):
    """One thing measured: how, how often, and whether it may keep the loop waiting."""

    name: str
    """One of protocol.metrics.COLLECTORS."""
    collect: Callable[[], Report]
    period_s: float | None = None
    """None: the sampling period."""
    blocking: bool = False
    """True: it may wait for something outside this process, so it runs in the worker thread."""
    deadline_s: float = 20.0
    """A blocking collector that takes longer is reported as timed out."""
    kept_fresh: bool = True
    """False: leave it alone while `watch` samples every 2 s."""


def code_for(error: BaseException) -> ProblemCode:
    """The problem code of an exception; one that knows its own (`problem_code`) is believed."""
    own: ProblemCode | None = getattr(error, "problem_code", None)
    if own is not None:
        return own
    if isinstance(error, PermissionError) or type(error).__name__ == "AccessDenied":  # psutil's own
        return "denied"
    if isinstance(error, TimeoutError):
        return "timed_out"
    if isinstance(error, ConnectionError):
        return "unreachable"
    if isinstance(error, FileNotFoundError | AttributeError | NotImplementedError):
        return "unsupported"
    return "failed"
