"""The job that compares devices with what is wanted of them, as `work` would do it."""

from tests.controller.site import Site

from annexfleet_controller.work.desired import compare_desired
from annexfleet_controller.work.worker import Job, Worker


def compare(site: Site) -> None:
    """Once over everybody whom it is time to compare."""
    of = Job("compare_desired", site.clock.now() - site.clock.now(), compare_desired)
    assert Worker(site.engine, site.home, (of,), clock=site.clock).do_what_is_due() == ["compare_desired"]
