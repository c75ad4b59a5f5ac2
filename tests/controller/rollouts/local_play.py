"""`annexfleet play` whose devices are this machine, as a process of its own: it ends everything below itself."""

import logging
import sys
from pathlib import Path

from annexfleet_controller import settings
from annexfleet_controller.rollouts import play

LOCAL = play.Link(relay=None, host_variables={"ansible_connection": "local"})

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    home, run_id, attempt = sys.argv[1:]
    sys.exit(play.carry_out(settings.load(Path(home)), int(run_id), int(attempt), link=LOCAL))
