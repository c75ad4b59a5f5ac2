"""Why a change of settings is refused: errors as those of `errors`, of annexes, devices, services and contacts."""

from annexfleet_controller.errors import Conflict, Invalid, NotFound


class SettingWrong(Invalid):
    """A field that cannot be so; `field` in the facts names it, `reason` is a code that has words."""

    code = "setting_wrong"


class SettingChanged(Conflict):
    """Somebody else changed it since this person read it; `version` in the facts is what it has by now."""

    code = "setting_changed"


class OutOfService(Conflict):
    """An annex that is closed, or a device that is out of service: its past stands, and nothing is done to it."""

    code = "out_of_service"


class Unconfirmed(Conflict):
    """It touches more than one thing, or others than were shown: `digest` in the facts confirms it as it is now."""

    code = "unconfirmed"


class DistrictUnknown(NotFound):
    code = "district_unknown"


class UndoUnknown(NotFound):
    """No such act, or not one of this person's."""

    code = "undo_unknown"


class UndoRefused(Conflict):
    """It cannot be taken back any more; `reason` in the facts is a code that has words."""

    code = "undo_refused"


class TooManyWalls(Conflict):
    """There are so many links to wall screens that one more would be a mistake; old ones can be revoked."""

    code = "too_many_walls"
