"""What Ansible finds around itself in a run: settings that do not depend on who started the controller, nor where.

Nothing of the controller's own environment is passed on but what is named here: a database's password may be in it.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from annexfleet_controller.identity import files
from annexfleet_controller.rollouts.ground import Ground
from annexfleet_controller.rollouts.processes import MARK

MOST_FORKS = 50
_PASSED_ON = frozenset(
    {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "PYTHONPATH", "SHELL", "TZ", "USER", "VIRTUAL_ENV"}
)
_READY = "annexfleet_ready.py"
"""A callback of the library's own that prepares what all of Ansible's workers need."""
_CONFIGURATION = b"[defaults]\ninternal_poll_interval = 0.01\n"
"""Of a library without one, or Ansible would look for settings elsewhere.  The interval: see playbooks/ansible.cfg."""
_LARGEST_RESULT = 600_000
"""Characters; what is larger is left out of an event."""
_QUIET = '''\
"""Says nothing: what devices answer goes out in events, and never raw on the output that is read for events.

It says only what an event alone does not tell: why a task was skipped, whether Ansible goes on with a device that was
not reached, and in the end with whom it did not go on.
"""

import json
import sys

from ansible.executor.task_queue_manager import TaskQueueManager
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: annexfleet_quiet
type: stdout
short_description: says nothing
description: Says nothing.
options: {}
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "annexfleet_quiet"

    def v2_runner_on_skipped(self, result):
        told = result._result
        items = [_why(item) for item in told.get("results") or () if isinstance(item, dict)]
        _say(_why(told) | ({"results": items[:1000]} if items else {}))

    def v2_runner_on_unreachable(self, result):
        _say({"goes_on": bool(result._task.ignore_unreachable)})

    def v2_playbook_on_stats(self, stats):
        _say({"given_up": _given_up()})


def _given_up():
    # With any_errors_fatal and its like Ansible gives devices up on which nothing failed.  Its statistics do not count
    # that, and a callback is not told: who calls us knows.
    frame = sys._getframe()
    while frame is not None:
        if isinstance(manager := frame.f_locals.get("self"), TaskQueueManager):
            return list(manager._failed_hosts)
        frame = frame.f_back
    return None


def _say(what):
    sys.stdout.write(json.dumps(what))
    sys.stdout.flush()


def _why(told):
    found = {key: True for key in ("skip_reason", "skipped_reason", "false_condition") if told.get(key)}
    return found | ({"msg": "check mode"} if "check mode" in str(told.get("msg")) else {})
'''


def write_places(ground: Ground) -> None:
    """The directories and files that `of_ansible` names, in the directory of an attempt."""
    attempt = ground.attempt
    for name in ("home", "local", "tmp", "callbacks", "env"):
        files.private_directory(attempt / name)
    files.write(attempt / "callbacks" / "annexfleet_quiet.py", _QUIET.encode())
    # This one of the library's callbacks and no other: what a callback prints would be read as events.
    ready = ground.bundle / "plugins" / "callback" / _READY
    if ready.is_file():
        files.write(attempt / "callbacks" / _READY, ready.read_bytes())
    files.write(attempt / "ansible.cfg", _CONFIGURATION)
    # ansible-runner takes these from this file alone.
    settings = {"pexpect_timeout": 1, "suppress_output_file": True, "suppress_ansible_output": True}
    files.write(attempt / "env" / "settings", msgspec.json.encode(settings))


def of_ansible(
    proposed: Mapping[str, str], *, ground: Ground, forks: int, hosts: int, nonce: int
) -> dict[str, str]:  # fmt: skip
    """The environment of ansible-playbook, from what ansible-runner proposes."""
    kept = {
        name: value for name, value in proposed.items() if name in _PASSED_ON or os.environ.get(name) != value
    }  # fmt: skip
    kept |= _payloads(ground)
    attempt, bundle = ground.attempt, ground.bundle
    configuration = bundle / "ansible.cfg"
    programs = Path(sys.executable).parent
    return kept | {
        # Only events that bear this number are believed; it must be one, for ansible-runner's plugin.
        "JOB_ID": str(nonce),
        "MAX_EVENT_RES": str(_LARGEST_RESULT),
        "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
        "TMPDIR": str(attempt / "tmp"),
        MARK: str(ground.directory),
        "ANNEXFLEET_RELAY": str(ground.relay_socket),
        # For the library's own files, and for roles that have the controller sign something.
        "ANNEXFLEET_HOME": str(ground.home),
        "ANNEXFLEET_LIBRARY": str(ground.home / "library"),
        "ANSIBLE_CONFIG": str(configuration if configuration.exists() else attempt / "ansible.cfg"),
        "ANSIBLE_HOME": str(attempt / "home"),
        "ANSIBLE_LOCAL_TEMP": str(attempt / "local"),
        "ANSIBLE_ROLES_PATH": str(bundle / "roles"),
        "ANSIBLE_COLLECTIONS_PATH": str(bundle / "collections"),
        "ANSIBLE_CONNECTION_PLUGINS": str(bundle / "plugins" / "connection"),
        "ANSIBLE_CALLBACK_PLUGINS": f"{proposed.get('ANSIBLE_CALLBACK_PLUGINS', '')}:{attempt / 'callbacks'}",
        "ORIGINAL_STDOUT_CALLBACK": "annexfleet_quiet",
        "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",
        "ANSIBLE_FORKS": str(max(1, min(MOST_FORKS, forks, hosts))),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_INJECT_FACT_VARS": "false",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_HOST_KEY_CHECKING": "true",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
        "ANSIBLE_NO_TARGET_SYSLOG": "true",
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "false",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_CACHE_PLUGIN": "memory",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _payloads(ground: Ground) -> dict[str, str]:
    """Where payloads of Ansible's own modules are kept from run to run; not for a library that could change them."""
    if any(place.is_dir() for place in ground.bundle.rglob("module_utils")):
        return {}
    return {"ANNEXFLEET_PAYLOADS": str(ground.home / "payloads")}
