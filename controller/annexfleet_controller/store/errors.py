"""What only rows can tell: somebody was quicker, or there are enough already."""

from annexfleet_controller.errors import Conflict, Invalid, NotFound


class PersonChanged(Conflict):
    """Somebody else changed this account since it was read."""

    code = "person_changed"


class FilterWrong(Invalid):
    """A list's filter that cannot be kept: it has no name, or is too long."""

    code = "filter_wrong"


class TooManyFilters(Conflict):
    """A person keeps as many filters for a list as anybody finds their way in."""

    code = "too_many_filters"


class FilterUnknown(NotFound):
    code = "filter_unknown"


class TooManyWalls(Conflict):
    """There are so many links to wall screens that one more would be a mistake; old ones can be revoked."""

    code = "too_many_walls"
