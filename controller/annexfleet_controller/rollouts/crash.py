"""Points at which a test kills the program: one for each transition there is (`waves.machine.POINTS`).

`point(db, name)` stands where the rows of a transition are written and not committed yet.  Nothing happens there unless
a test has put something in `hook`, which is then called twice: before the commit, and right after it.
"""

from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.orm import Session

hook: Callable[[str], None] | None = None
"""Called with `<name>:before` and `<name>:after`; what it raises falls through like a crash."""


def point(db: Session, name: str) -> None:
    """The rows of this transition are written."""
    if hook is None:
        return
    hook(f"{name}:before")

    def committed(_: Session) -> None:
        if hook is not None:
            hook(f"{name}:after")

    event.listen(db, "after_commit", committed, once=True)
