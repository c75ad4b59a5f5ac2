"""Why a run, a command or a rollout is refused."""

from annexfleet_controller.errors import AnnexfleetError, Conflict, Forbidden, NotFound


class RolloutNotApproved(Conflict):
    """What was approved is no more: the library of playbooks, or what goes where, has changed since."""

    code = "rollout_not_approved"


class NothingToRepair(Conflict):
    """No device in sight differs from what is wanted."""

    code = "nothing_to_repair"


class AttachmentUnknown(NotFound):
    """The command brought no file, or it is kept no more."""

    code = "attachment_unknown"


class RehearsalBusy(Conflict):
    """Another rehearsal is being played: each takes a processor for some seconds, so they take turns."""

    code = "rehearsal_busy"


class NothingToRetry(Conflict):
    """No device of the rollout ended badly, or those that did are out of service."""

    code = "nothing_to_retry"


class TakesNoCommands(Conflict):
    """The device has told no key to which commands could be sealed, or is out of service."""

    code = "takes_no_commands"


class ApprovedByAuthor(Conflict):
    """Whoever wrote or submitted a rollout cannot be the second person who approves it."""

    code = "approved_by_author"


class RolloutTargetsChanged(Conflict):
    """The selector means other devices by now than were shown; in the facts `digest` is that of those it means now."""

    code = "rollout_targets_changed"


class TooManyCommands(Conflict):
    """So many commands wait for one device that one more is refused."""

    code = "too_many_commands"


class PlaybookUnknown(NotFound):
    code = "playbook_unknown"


class RehearsalTooLong(Conflict):
    """A rehearsal took longer than it may: fewer devices, or a shorter deadline, make it shorter."""

    code = "rehearsal_too_long"


class NoWayBack(Conflict):
    """The playbook names no reverse, or nothing is known of how the devices were before."""

    code = "no_way_back"


class RolloutOfOthers(Forbidden):
    """Somebody else's rollout: only who wrote or submitted it, or who may approve rollouts, may do that."""

    code = "rollout_of_others"


class RolloutNeedsSecond(Conflict):
    """It needed no second person as it was submitted; with what the same person brought since then it does."""

    code = "rollout_needs_second"


class LibraryWrong(AnnexfleetError):
    """The library of playbooks is not there, or holds what may not be in it."""

    code = "library_wrong"


class ApprovedAtConsole(Conflict):
    """It was written at the console, where one person can bear two names: another signs in and approves on its page."""

    code = "approved_at_console"


class RunOfRollout(Conflict):
    """It is a rollout's: only the rollout brings it to devices; in the facts `rollout` is its number."""

    code = "run_of_rollout"
