"""Errors that a person can act on.  Each has a code, whose text is in the catalogues, and the facts."""


class AnnexfleetError(Exception):
    """The root of them.  `code` is stable; the message is for logs and the command line, in English."""

    code = "error"

    def __init__(self, message: str = "", **facts: object) -> None:
        super().__init__(message or self.code)
        self.facts = facts


class SettingsWrong(AnnexfleetError):
    code = "settings_wrong"


class NotFound(AnnexfleetError):
    """Something that is not there, or that this person may not see: nobody can tell which."""

    code = "not_found"


class AnnexUnknown(NotFound):
    code = "annex_unknown"


class DeviceUnknown(NotFound):
    code = "device_unknown"


class PrinterUnknown(NotFound):
    code = "printer_unknown"


class QueueUnknown(NotFound):
    code = "queue_unknown"


class Conflict(AnnexfleetError):
    code = "conflict"


class Forbidden(AnnexfleetError):
    """This person's role does not include it."""

    code = "forbidden"


class TooManyStreams(AnnexfleetError):
    """So many live pages of one session, one person or all people are open that one more is refused."""

    code = "too_many_streams"


class Invalid(AnnexfleetError):
    """A field that cannot be so; `field` in the facts names it."""

    code = "invalid"


class CalendarWrong(Invalid):
    """Opening hours that cannot be so; `field` in the facts names where, `reason` is a code that has words."""

    code = "calendar_wrong"


class UserUnknown(NotFound):
    code = "user_unknown"


class SupplyUnknown(NotFound):
    """No printer takes such a part, and none is on the shelf."""

    code = "supply_unknown"


class TokenUnknown(NotFound):
    code = "token_unknown"


class LinkUnknown(NotFound):
    """A board's link or a printer's code that opens nothing: it never did, or somebody took it back."""

    code = "link_unknown"


class TooManyLinks(Conflict):
    """An annex has so many boards that one more would be a mistake; old ones can be revoked."""

    code = "too_many_links"


class HolidayUnknown(NotFound):
    """Nobody entered this holiday, or this Ramadan."""

    code = "holiday_unknown"


class CalendarChanged(Conflict):
    """Somebody else changed these opening hours meanwhile."""

    code = "calendar_changed"


class AnnexExists(Conflict):
    code = "annex_exists"


class UserExists(Conflict):
    code = "user_exists"


class ServicesWrong(Invalid):
    """Services that cannot be described so; `field` in the facts names where, `reason` is a code that has words."""

    code = "services_wrong"


class ServiceUnknown(NotFound):
    code = "service_unknown"


class ContactUnknown(NotFound):
    code = "contact_unknown"


class NoticeUnknown(NotFound):
    code = "notice_unknown"


class NoticeOvertaken(Conflict):
    """A notice that was sent, dropped or followed by a newer one is not sent again."""

    code = "notice_overtaken"


class ContactWrong(Invalid):
    """`field` and `reason`, a code, say what: see `notify.contacts`."""

    code = "contact_wrong"


class AlertUnknown(NotFound):
    code = "alert_unknown"


class IncidentUnknown(NotFound):
    code = "incident_unknown"


class AlreadyAcknowledged(Conflict):
    """Somebody else took it in charge before; `other` in the facts names them."""

    code = "already_acknowledged"


class AlreadyOver(Conflict):
    """An alert that has cleared or an incident that is resolved: nobody need take it in charge."""

    code = "already_over"


class NoteWrong(Invalid):
    """A note that says nothing, or too much."""

    code = "note_wrong"


class RuleUnknown(NotFound):
    code = "rule_unknown"


class RuleWrong(AnnexfleetError):
    """A rule that cannot be so.  In the facts `field` names what, and `reason` is a code of `rules.check.REASONS`."""

    code = "rule_wrong"


class RuleChanged(Conflict):
    """Somebody else changed it since this person read it."""

    code = "rule_changed"


class MaintenanceWrong(Invalid):
    """Planned work that cannot be so; `field` in the facts names where, `reason` is a code that has words."""

    code = "maintenance_wrong"


class MaintenanceUnknown(NotFound):
    code = "maintenance_unknown"


class MaintenanceChanged(Conflict):
    """Somebody else changed it since it was read."""

    code = "maintenance_changed"


class CommandUnknown(NotFound):
    code = "command_unknown"


class CommandWrong(Invalid):
    """A command that is not in the catalogue, or a parameter that cannot be so.

    `field` in the facts names it, `reason` is a code that has words.
    """

    code = "command_wrong"


class NothingToFix(Conflict):
    """The incident is over: nothing is left to be verified."""

    code = "nothing_to_fix"


class RunUnknown(NotFound):
    code = "run_unknown"


class RunBusy(Conflict):
    """A device belongs to another run that has not ended; in the facts `other` is that run, `device` the device."""

    code = "run_busy"


class RunOver(Conflict):
    """A run that has ended can be neither stopped nor changed."""

    code = "run_over"


class VariableWrong(Invalid):
    """A variable that a playbook does not take so; `field` in the facts names it, `reason` is a code that has words."""

    code = "variable_wrong"


class RolloutUnknown(NotFound):
    code = "rollout_unknown"


class RolloutChanged(Conflict):
    """Somebody else changed it since it was read."""

    code = "rollout_changed"


class WrongState(Conflict):
    """What was asked is nothing that can be done in this state; `state` and `act` in the facts."""

    code = "wrong_state"


class VersionMissing(AnnexfleetError):
    """A change of something that several people may change, without the version that was read before."""

    code = "version_missing"


class DesiredChanged(Conflict):
    """Somebody else decided about this layer since it was read."""

    code = "desired_changed"


class DesiredVersionUnknown(NotFound):
    code = "desired_version_unknown"


class DesiredLayerUnknown(NotFound):
    """A kind of layer, or a role, that there is not."""

    code = "desired_layer_unknown"


class SettingWrong(Invalid):
    """A field that cannot be so; `field` in the facts names it, `reason` is a code that has words."""

    code = "setting_wrong"


class SettingChanged(Conflict):
    """Somebody else changed it since this person read it; `version` in the facts is what it has by now."""

    code = "setting_changed"


class OutOfService(Conflict):
    """An annex that is closed, or a device that is out of service: its past stands, and nothing is done to it."""

    code = "out_of_service"


class DistrictUnknown(NotFound):
    code = "district_unknown"
