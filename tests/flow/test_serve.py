"""`annexfleet serve`: one command, one controller a home, and no process left behind."""

import os
import signal

import pytest
from tests.flow.serving import running_serve

from annexfleet_controller.__main__ import main
from annexfleet_controller.cli import exits
from annexfleet_controller.identity import signer


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ANNEXFLEET_")]:
        monkeypatch.delenv(name)


def test_it_starts_refuses_a_second_brings_a_killed_part_back_and_stops_without_a_trace(
    capsys: pytest.CaptureFixture[str],
):
    """One start for all of it: seven processes come up, which takes a core many seconds."""
    with running_serve() as serve:
        parts = serve.parts
        serve.wait_until(lambda: signer.socket_path(serve.home).exists(), "the signer's start")
        second = main(["--home", str(serve.home.path), "serve", "--with-broker"])
        complaint = capsys.readouterr().err
        healthy = main(["--home", str(serve.home.path), "doctor"])
        told = capsys.readouterr().out

        (web,) = (part for part in parts if part.cmdline()[-1] == "web")
        os.kill(web.pid, signal.SIGKILL)
        serve.wait_until(lambda: web.pid not in [part.pid for part in serve.parts], "the end of web")
        serve.wait_until(serve.is_ready, "web's return")
        again = serve.parts
        code = serve.stop()

    assert len(parts) == 7  # broker, signer, web, enrol, ingest, relay, work
    assert second == exits.TAKEN
    assert "already running" in complaint
    assert healthy == exits.DONE, told
    assert len(again) == 7
    assert code == exits.DONE
    assert not any(part.is_running() for part in (*parts, *again))


def test_nothing_outlives_a_killed_serve():
    with running_serve() as serve:
        parts = serve.parts

        os.kill(serve.process.pid, signal.SIGKILL)
        serve.process.wait()

        for part in parts:
            part.wait(timeout=20)
