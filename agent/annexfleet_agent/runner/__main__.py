"""The runner's program: started by systemd when the agent wants it, or by the agent itself.

Exit codes: 0 it ended because nobody wanted anything, or another one runs; 1 it failed; 2 wrong settings, or none
allowed.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from annexfleet_agent import lean_msgspec  # noqa: F401  # before all that imports it
from annexfleet_agent import settings as settings_
from annexfleet_agent.boot import boot_id
from annexfleet_agent.loop import Loop
from annexfleet_agent.runner import family
from annexfleet_agent.runner.ledger import LedgerUnusable
from annexfleet_agent.runner.link import AlreadyRuns, inherited, listen
from annexfleet_agent.runner.serve import Runner

log = logging.getLogger(__name__)

_UMASK = 0o022
"""What programs are used to; the agent that starts this has a stricter one.  What is the runner's own says its mode."""


def main(argv: list[str] | None = None) -> int:
    """Run until idle, SIGTERM or SIGINT; the exit code."""
    parser = argparse.ArgumentParser(prog="annexfleet_agent.runner", description=__doc__)
    parser.add_argument("--settings")
    path = settings_.path_from(parser.parse_args(argv).settings)
    try:
        settings = settings_.load(path)
    except settings_.BadSettings as error:
        print(f"annexfleet-runner: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=settings.agent.log_level.upper(), format="%(levelname)s runner: %(message)s", stream=sys.stderr
    )
    if not settings.runner.enabled:
        log.error("runner.enabled is false in %s", path)
        return 2
    try:
        return _run(settings, path)
    except AlreadyRuns:
        return 0
    except LedgerUnusable as error:
        log.error("%s", error)  # noqa: TRY400  # the sentence is for a person, who has no use for a trace
    except OSError as error:
        log.error("%s: %s", error.filename or settings.runner_dir, error.strerror)  # noqa: TRY400
    return 1


def _run(settings: settings_.Settings, path: Path | None) -> int:
    os.umask(_UMASK)
    given = inherited()
    listener = given or listen(settings.runner_socket)
    own_path = None if given is not None else settings.runner_socket
    if not family.become_subreaper():
        log.warning("orphans get out of sight on this system: a cancel may not reach them")
    loop = Loop()
    runner = Runner(loop, settings, path, listener=listener, boot_id=boot_id())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: loop.stop())
    log.info("started directory=%s", settings.runner_dir)
    loop.run()
    runner.close(path=own_path)
    loop.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
