"""Why a change of settings is not done, or not taken back."""

from annexfleet_controller.errors import Conflict, NotFound


class Unconfirmed(Conflict):
    """It touches more than one thing, or others than were shown: `digest` in the facts confirms it as it is now."""

    code = "unconfirmed"


class UndoUnknown(NotFound):
    """No such act, or not one of this person's."""

    code = "undo_unknown"


class UndoRefused(Conflict):
    """It cannot be taken back any more; `reason` in the facts is a code that has words."""

    code = "undo_refused"
