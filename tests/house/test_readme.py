"""The root README promises only what is there."""

import os
import re
import shlex

import pytest
from tests.house.tree import ROOT

from annexfleet_controller.__main__ import main

README = (ROOT / "README.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"```(?:console|sh|bash)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.removeprefix("$ ").split("#")[0].strip() for block in _BLOCKS for line in block.splitlines()]
SCRIPTS = sorted({command.split()[0] for command in COMMANDS if command.startswith(("deploy/", ".ci/"))})
ANNEXFLEET = sorted({shlex.split(command)[1] for command in COMMANDS if command.startswith("annexfleet ")})
AGENT = sorted({shlex.split(command)[1] for command in COMMANDS if command.startswith("annexfleet-agent ")})
LINKS = sorted(set(re.findall(r"\]\(([^)#:]+)\)", README)) | set(re.findall(r'src="([^":]+)"', README)))


def test_the_two_commands_stand_there():
    assert "deploy/up" in SCRIPTS
    assert "deploy/test" in SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_run(script: str):
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.parametrize("command", ANNEXFLEET)
def test_a_command_of_annexfleet_exists(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert f"annexfleet {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", AGENT)
def test_a_command_of_the_agent_exists(command: str, capsys: pytest.CaptureFixture[str]):
    from annexfleet_agent.__main__ import main as agent

    with pytest.raises(SystemExit) as ended:
        agent([command, "--help"])

    assert ended.value.code == 0
    assert f"annexfleet-agent {command}" in capsys.readouterr().out


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_somewhere(link: str):
    assert (ROOT / link).exists()
