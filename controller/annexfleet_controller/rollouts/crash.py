"""Points at which a test kills the program: one for each transition there is (`waves.machine.POINTS`).

`point(name)` stands where the rows of a transition are written and not committed, and `after(name)` where they are.
Nothing happens there unless a test has put something in `hook`.
"""

from collections.abc import Callable

hook: Callable[[str], None] | None = None
"""Called with `name:before` and `name:after`; what it raises falls through like a crash."""


def point(name: str) -> None:
    """Right before the commit."""
    if hook is not None:
        hook(f"{name}:before")


def after(name: str) -> None:
    """Right after it."""
    if hook is not None:
        hook(f"{name}:after")
