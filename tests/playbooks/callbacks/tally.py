"""A callback of Ansible's: writes a JSON line for each task that ended on a host into `$TALLY_FILE`."""

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: tally
type: notification
short_description: one JSON line for each task that ended on a host
description: Written for the tests of annexfleet, which compare two connections.
requirements: [TALLY_FILE in the environment]
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "tally"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._file = Path(os.environ["TALLY_FILE"])
        self._numbers: dict[str, int] = {}

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._numbers.setdefault(task._uuid, len(self._numbers) + 1)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._numbers.setdefault(task._uuid, len(self._numbers) + 1)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._write(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._write(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._write(result, "unreachable")

    def _write(self, result: Any, outcome: str) -> None:
        line = {
            "host": result._host.get_name(),
            "number": self._numbers.get(result._task._uuid, 0),
            "task": result._task.get_name(),
            "outcome": outcome,
            "message": str(result._result.get("msg", ""))[:500],
        }
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
