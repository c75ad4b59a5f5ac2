"""Programs that collectors run."""

import sys
import time

import psutil
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


def test_much_output_and_an_output_closed_early_hang_nothing():
    much = "import sys; print('x' * 6_000_000); print('y' * 500_000, file=sys.stderr)"
    early = "import os, time; os.close(1); os.close(2); time.sleep(0.2)"

    assert len(programs.output_of([PYTHON, "-c", much], timeout_s=20)) == 4 * 1024 * 1024
    assert programs.output_of([PYTHON, "-c", early], timeout_s=20) == ""


def test_a_program_that_hangs_takes_its_children_along(tmp_path):
    child = tmp_path / "child"
    with pytest.raises(TimeoutError):
        programs.output_of(["/bin/sh", "-c", f"sleep 300 & echo $! > {child}; wait"], timeout_s=0.3)

    give_up_at = time.monotonic() + 5
    while psutil.pid_exists(pid := int(child.read_text())) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up_at


def test_a_program_that_is_not_there_cannot_be_started():
    with pytest.raises(FileNotFoundError):
        programs.output_of(["/no/such/program"], timeout_s=5)


def test_where_posix_spawn_is_missing_programs_run_all_the_same(monkeypatch):
    monkeypatch.delattr("os.posix_spawn")

    assert programs.output_of([PYTHON, "-c", "print('hi')"], timeout_s=10).strip() == "hi"
    with pytest.raises(TimeoutError, match="did not end"):
        programs.output_of([PYTHON, "-c", "import time; time.sleep(60)"], timeout_s=0.2)
