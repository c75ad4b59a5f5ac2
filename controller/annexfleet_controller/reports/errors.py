"""What can be wrong with asking for a report."""

from annexfleet_controller.errors import Invalid, NotFound


class ReportOfFuture(Invalid):
    """A report of a month that has not begun."""

    code = "report_of_future"


class ReportMissing(NotFound):
    """Nothing is kept of that month, or not yet."""

    code = "report_missing"
