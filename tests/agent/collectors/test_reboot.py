"""Whether a restart is due."""

import pytest
from tests.agent.collectors.trees import tree

from annexfleet_agent.collectors import reboot

DEBIAN = {"/var/lib/dpkg/status": ""}


@pytest.mark.parametrize(
    ("files", "readings", "codes"),
    [
        ({**DEBIAN, "/run/reboot-required": ""}, {"": {"reboot_required": 1}}, {}),
        (DEBIAN, {"": {"reboot_required": 0}}, {}),
        ({}, {}, {"": {"reboot_required": "unsupported"}}),
    ],
)
def test_the_mark_that_package_scripts_leave(tmp_path, files, readings, codes):
    report = reboot.collector(tree(tmp_path, files)).collect()

    assert (report.readings, report.codes()) == (readings, codes)
