"""Programs that collectors run."""

import sys

import pytest

from annexfleet_agent.collectors import programs

PYTHON = sys.executable


def test_what_a_program_prints_in_the_language_c(monkeypatch):
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")

    assert programs.output_of([PYTHON, "-c", "import os; print(os.environ['LC_ALL'])"], timeout_s=10) == "C\n"


def test_a_program_that_hangs_is_ended():
    with pytest.raises(TimeoutError, match="did not end"):
        programs.output_of([PYTHON, "-c", "import time; time.sleep(60)"], timeout_s=0.2)


def test_an_exit_status_is_an_error_with_the_last_line_it_said():
    with pytest.raises(programs.ProgramFailed, match="exit status 3: the cause"):
        programs.output_of(
            [PYTHON, "-c", "import sys; sys.exit(print('x\\nthe cause', file=sys.stderr) or 3)"], timeout_s=10
        )


def test_gently_is_at_the_lowest_priority():
    printed = programs.output_of([PYTHON, "-c", "import os; print(os.nice(0))"], timeout_s=10, gently=True)

    assert int(printed) == 19


def test_a_program_is_found_on_the_path_or_is_not(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "here").write_text("")
    (tmp_path / "here").chmod(0o755)

    assert programs.find("here") == str(tmp_path / "here")
    assert programs.find("gone") is None
