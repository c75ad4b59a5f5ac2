"""What a tablet gets: the agent's wheel holds the agent and nothing of the controller."""

import importlib.util
import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest
from tests.house.tree import ROOT

DEPENDENCIES = {"msgspec", "paho-mqtt", "psutil", "cryptography"}
EXTRAS = {"puresnmp": "snmp", "psycopg2-binary": "postgresql"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The agent's wheel, built as for a release."""
    to = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(to), str(ROOT / "agent")],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = to.glob("*.whl")
    return zipfile.ZipFile(built)


def test_it_holds_the_agent_only(wheel: zipfile.ZipFile):
    tops = {Path(name).parts[0] for name in wheel.namelist()}

    assert tops == {"annexfleet_agent", next(top for top in tops if top.endswith(".dist-info"))}
    assert "annexfleet_agent/protocol/messages.py" in wheel.namelist()
    assert "annexfleet_agent/py.typed" in wheel.namelist()


def test_it_names_nothing_of_the_controller(wheel: zipfile.ZipFile):
    for name in wheel.namelist():
        if name.endswith(".py"):
            assert b"annexfleet_controller" not in wheel.read(name), name


def test_it_asks_for_four_packages(wheel: zipfile.ZipFile):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    required, optional = set(), {}
    for line in metadata.get_all("Requires-Dist", []):
        package = re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if extra:
            optional[package] = extra[1]
        else:
            required.add(package)

    assert required == DEPENDENCIES
    assert optional == EXTRAS
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_controllers_wheel_holds_the_library_of_playbooks():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "controller" / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hook = module.VendorHook(
        root=str(ROOT / "controller"), config={}, build_config=None, metadata=None, directory="", target_name="wheel"
    )
    for version, is_held in (("standard", True), ("editable", False)):
        data: dict[str, Any] = {"artifacts": [], "force_include": {}}
        hook._fetch = lambda: None  # what the pages take from others is another matter
        hook.initialize(version, data)

        held = set(data["force_include"].values())
        assert ("annexfleet_controller/playbooks/plugins/inventory/annexfleet.py" in held) is is_held
        assert not any("__pycache__" in name for name in held)
