# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's inventory from the controller's API.  GPL, unlike the rest, as it builds on Ansible's own classes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: annexfleet
short_description: the devices of annexfleet
description:
  - Asks a controller for every device in the sight of an API token.
  - A host is called by its device's id; C(annexfleet_name) is what people call it.
  - Groups are C(annex_*), C(role_*), C(tag_*), C(readiness_*), C(os_*), C(link_online) and C(link_offline).
  - What devices reported comes as variables, so that C(gather_facts) is not needed. It is never read as a template.
extends_documentation_fragment:
  - constructed
options:
  plugin:
    description: must be V(annexfleet)
    required: true
    choices: [annexfleet]
  url:
    description: address of the controller
    default: http://127.0.0.1:8080
    env: [{name: ANNEXFLEET_URL}]
  token:
    description: an API token of a technician; better in the environment than in a file
    env: [{name: ANNEXFLEET_TOKEN}]
  ca_file:
    description: PEM file of the authority of the proxy in front, where it is not one of the system's
    default: ''
    env: [{name: ANNEXFLEET_CA_FILE}]
  timeout_s:
    description: seconds to wait for the answer
    type: float
    default: 30
  packages:
    description: fetch each device's package list, too (C(annexfleet_packages)); about 100 kB a device
    type: bool
    default: false
"""

EXAMPLES = r"""
# fleet.annexfleet.yml
plugin: annexfleet
url: https://fleet.example.ma
keyed_groups:
  - key: annexfleet_agent_version
    prefix: agent
"""

import json
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible.errors import AnsibleParserError
from ansible.module_utils.urls import open_url
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
from ansible.release import __version__

_OLDEST = (2, 19)
_SUFFIXES = ("annexfleet.yml", "annexfleet.yaml")
_AT_ONCE = 500
"""Devices of an answer: as many as the controller gives."""
_MOST_BYTES = 512 * 1024 * 1024
_HOW_TO = "make one with `annexfleet user key NAME --for ansible` and put it into ANNEXFLEET_TOKEN"
_HINTS = {
    401: f"the token opens nothing: {_HOW_TO}",
    403: "the token's owner is no technician, or has a password to choose first",
    404: "this address is no annexfleet controller, or an older one",
}


class InventoryModule(BaseInventoryPlugin, Constructable):
    NAME = "annexfleet"

    def verify_file(self, path):
        return super().verify_file(path) and path.endswith(_SUFFIXES)

    def parse(self, inventory, loader, path, cache=True):
        if tuple(int(part) for part in __version__.split(".")[:2]) < _OLDEST:
            raise AnsibleParserError(
                f"annexfleet: ansible-core {__version__} would read what devices tell of themselves as templates, and "
                "do what stands there on this machine; version 2.19 or later does not"
            )
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        document = self._ask()
        for group in document["groups"]:
            self.inventory.add_group(group)
        for host, variables in document["hosts"].items():
            self.inventory.add_host(host)
            for name, value in variables.items():
                self.inventory.set_variable(host, name, value)
            self._construct(host, variables)
        for group, hosts in document["groups"].items():
            for host in hosts:
                self.inventory.add_host(host, group=group)

    def _construct(self, host, variables):
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)

    def _ask(self):
        address = self.get_option("url").rstrip("/")
        token = self.get_option("token")
        if not token:
            raise AnsibleParserError(f"annexfleet: there is no API token: {_HOW_TO}")
        document = {"hosts": {}, "groups": {}}
        cursor = ""
        while cursor is not None:
            page = self._ask_page(address, token, cursor)
            document["hosts"].update(page["hosts"])
            for group, hosts in page["groups"].items():
                document["groups"].setdefault(group, []).extend(hosts)
            cursor = page.get("next")  # an older controller answers with everything at once, and has none
        document["groups"] = dict(sorted(document["groups"].items()))
        return document

    def _ask_page(self, address, token, cursor):
        query = {"limit": _AT_ONCE, "cursor": cursor, "packages": "true" if self.get_option("packages") else "false"}
        try:
            answer = open_url(
                f"{address}/api/v1/inventory?{urlencode(query)}",
                headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
                timeout=self.get_option("timeout_s"),
                ca_path=self.get_option("ca_file") or None,
                follow_redirects="none",
            )
            document = json.loads(answer.read(_MOST_BYTES))
        except HTTPError as error:
            hint = _HINTS.get(error.code, "")
            raise AnsibleParserError(
                f"annexfleet: {address} answered {error.code}{': ' + hint if hint else ''}"
            ) from error
        except (URLError, OSError) as error:
            raise AnsibleParserError(f"annexfleet: {address} cannot be reached: {error}") from error
        except ValueError as error:
            raise AnsibleParserError(
                f"annexfleet: {address} did not answer with JSON: is it the controller?"
            ) from error
        if not isinstance(document, dict) or not {"hosts", "groups"} <= document.keys():
            raise AnsibleParserError(f"annexfleet: {address} did not answer with an inventory")
        return document
