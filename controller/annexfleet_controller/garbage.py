"""Python's search for unreachable cycles, and what it need not go through."""

import gc


def settle() -> None:
    """What was made until now stays: the collector need not go through it again each time it looks at everything.

    With what a web process has imported and put together a full collection takes a third of a second, in which it
    answers nobody.
    """
    gc.collect()
    gc.freeze()
