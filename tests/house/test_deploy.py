"""What lies in deploy/ is at least well-formed; what cannot be run here says so itself."""

import re
import shutil
import subprocess

import pytest
import yaml
from tests.house.tree import ROOT

DEPLOY = ROOT / "deploy"
SCRIPTS = ("deploy/up", "deploy/down", "deploy/test", "deploy/lib.sh", ".ci/run")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_bash(script: str):
    checked = subprocess.run(["bash", "-n", str(ROOT / script)], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr


def test_the_constraints_are_names_and_versions():
    for line in (DEPLOY / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!-]*", line), line


def test_the_compose_file_publishes_what_devices_need():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    controller = compose["services"]["controller"]

    assert {"8443:8443", "8883:8883"} <= set(controller["ports"])
    assert (ROOT / controller["build"]["dockerfile"]).exists()


def test_the_compose_file_trusts_the_hosts_end_of_its_own_network_and_nobody_else():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    (network,) = compose["networks"]["annexfleet"]["ipam"]["config"]

    assert compose["services"]["controller"]["environment"]["ANNEXFLEET_TRUSTED_PROXIES"] == network["gateway"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize(
    "unit", sorted(path.name for path in (DEPLOY / "systemd").iterdir() if path.suffix in (".service", ".socket"))
)
def test_a_unit_is_understood_by_systemd(unit: str):
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(DEPLOY / "systemd" / unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    # The program is in place only on a machine where it was installed.
    complaints = [
        line for line in checked.stderr.splitlines()
        if unit in line and "is not executable" not in line
    ]  # fmt: skip

    assert not complaints


def test_the_runner_hears_where_the_agent_speaks():
    """The socket's unit and what it says that agent.toml must say are one."""
    socket = (DEPLOY / "systemd" / "annexfleet-runner.socket").read_text(encoding="utf-8")
    service = (DEPLOY / "systemd" / "annexfleet-runner.service").read_text(encoding="utf-8")
    agent = (DEPLOY / "systemd" / "annexfleet-agent.service").read_text(encoding="utf-8")
    told = dict(re.findall(r'^#\s+(directory|socket) = "(.*)"$', socket, re.MULTILINE))

    assert re.search(r"^ListenSequentialPacket=(.*)$", socket, re.MULTILINE)[1] == told["socket"]
    assert f"/var/lib/{re.search(r'^StateDirectory=(.*)$', service, re.MULTILINE)[1]}" == told["directory"]
    assert re.search(r"^SocketUser=(.*)$", socket, re.MULTILINE)[1] == re.search(r"^User=(.*)$", agent, re.MULTILINE)[1]
    assert re.search(r"^SocketMode=(.*)$", socket, re.MULTILINE)[1] == "0600"
