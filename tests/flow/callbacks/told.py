"""What became of each task, a line of JSON each, for tests."""

import json

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: told
type: stdout
short_description: a line of JSON for each result
description: For tests.
options: {}
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "told"

    def _tell(self, result, **also):  # type: ignore[no-untyped-def]
        told = {**result.result, **also}
        line = {"task": result.task.get_name(), "host": result.host.get_name(), "result": told}
        print("TOLD " + json.dumps(line, default=str), flush=True)

    def v2_runner_on_ok(self, result):  # type: ignore[no-untyped-def]
        self._tell(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):  # type: ignore[no-untyped-def]
        self._tell(result, failed=True)

    def v2_runner_on_unreachable(self, result):  # type: ignore[no-untyped-def]
        self._tell(result, unreachable=True)

    def v2_runner_on_skipped(self, result):  # type: ignore[no-untyped-def]
        self._tell(result, skipped=True)
