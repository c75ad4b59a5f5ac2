"""Executes on this machine, as root is here already, and writes down what Ansible wanted executed."""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import subprocess

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: recording
short_description: executes here and writes it down
description: For tests.
options:
  pipelining:
    type: bool
    default: true
    description: send modules over stdin
    env: [{name: ANSIBLE_PIPELINING}]
"""


class Connection(ConnectionBase):
    transport = "recording"
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        argv = shlex.split(cmd)
        with open(os.environ["RECORDED"], "a", encoding="utf-8") as file:
            file.write(json.dumps({"argv": argv, "in_data": base64.b64encode(in_data or b"").decode()}) + "\n")
        if in_data or "sudo" in cmd:
            return 0, b'{"changed": false, "stat": {"exists": false}}', b""
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path, out_path):
        shutil.copyfile(in_path, out_path)

    def fetch_file(self, in_path, out_path):
        shutil.copyfile(in_path, out_path)

    def close(self):
        self._connected = False
