#!/usr/bin/python3
"""Print queues of this machine's CUPS as wished.

CUPS is asked over its own socket in IPP, because lpstat and lpoptions tell in the user's language and leave the error
policy out; what differs is changed with lpadmin.  CUPS keeps no note of which driver was asked for, so this module
does, one small file per queue, and holds it against the description that the queue has by now.
"""

import hashlib
import http.client
import json
import socket
import struct
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: cups_queues
short_description: Print queues of CUPS as wished
description:
  - Makes, changes and removes queues, and sets the default one. Queues that are not named stay as they are.
author: annexfleet
options:
  queues:
    description: Queues to have.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the queue., type: str, required: true}
      uri: {description: Where the printer is., type: str, required: true}
      driver:
        description: V(everywhere), V(raw), or a model of C(lpinfo -m).
        type: str
        default: everywhere
      ppd:
        description: If not empty, the queue has a description (PPD) C(<name>.ppd) in O(descriptions), and no driver.
        type: str
        default: ""
      info: {description: What people read., type: str, default: ""}
      location: {description: Where it stands., type: str, default: ""}
      error_policy:
        description: What happens to a job after an error.
        type: str
        choices: [abort-job, retry-current-job, retry-job, stop-printer]
        default: retry-job
      shared: {description: Whether others may print on it., type: bool, default: false}
      options: {description: Defaults of its jobs., type: dict, default: {}}
  absent:
    description: Names of queues not to have. Their jobs are cancelled.
    type: list
    elements: str
    default: []
  default:
    description: The queue that is used if none is named; empty to leave it.
    type: str
    default: ""
  descriptions: {description: Where descriptions (PPD) are., type: path, default: /etc/annexfleet/ppd}
  socket: {description: The socket of CUPS., type: path, default: /run/cups/cups.sock}
  notes: {description: Where drivers asked for are noted., type: path, default: /var/lib/annexfleet-printers}
"""
EXAMPLES = r"""
- name: One printer without a driver of its own
  cups_queues:
    queues:
      - name: guichet-1
        uri: ipp://10.20.1.31/ipp/print
    default: guichet-1
"""
RETURN = r"""
warnings_said:
  description: What lpadmin said although it succeeded.
  returned: always
  type: list
  elements: str
"""

_GET_DEFAULT = 0x4001
_GET_PRINTERS = 0x4002
_NOT_FOUND = 0x0406
_ATTRIBUTES = (
    "printer-name", "device-uri", "printer-info", "printer-location", "printer-is-shared", "printer-error-policy",
    "printer-make-and-model",
)  # fmt: skip
_BOOLEAN = 0x22
_EVERYWHERE = "IPP Everywhere"
_ANSWERS_WITHIN_S = 20.0


class NoAnswer(Exception):
    """The print server is not there, or answered something that is no IPP."""


# -- asking CUPS


class _Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path, operation, attributes):
    """The printers that CUPS names, each as a dict of its attributes.  Raises NoAnswer."""
    connection = _Connection(path)
    try:
        connection.request("POST", "/", request(operation, attributes), {"Content-Type": "application/ipp"})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{path}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise NoAnswer(f"{path}: HTTP {answer.status}")
    return parse(body)


def request(operation, attributes):
    """An IPP request of the user root for these attributes (RFC 8010, 3.1)."""
    parts = [struct.pack(">BBHI", 1, 1, operation, 1), b"\x01"]
    parts.append(_attribute(0x47, "attributes-charset", "utf-8"))
    parts.append(_attribute(0x48, "attributes-natural-language", "en"))
    for at, name in enumerate(attributes):
        parts.append(_attribute(0x44, "requested-attributes" if at == 0 else "", name))
    parts.append(b"\x03")
    return b"".join(parts)


def _attribute(tag, name, value):
    name, value = name.encode(), value.encode()
    return struct.pack(">BH", tag, len(name)) + name + struct.pack(">H", len(value)) + value


def parse(body):
    """The printers of an IPP answer, with text as str and booleans as bool.  Raises NoAnswer."""
    try:
        _version, status, _request = struct.unpack_from(">HHI", body)
        if status == _NOT_FOUND:
            return []
        if status > 0xFF:
            raise NoAnswer(f"IPP status 0x{status:04x}")
        return _printers(body)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NoAnswer(f"an answer that is no IPP: {error}") from error


def _printers(body):
    printers, group, at = [], None, 8
    while body[at] != 0x03:
        tag = body[at]
        at += 1
        if tag < 0x10:  # a group begins; 4 is a printer's
            group = {} if tag == 0x04 else None
            if group is not None:
                printers.append(group)
            continue
        (length,) = struct.unpack_from(">H", body, at)
        name = body[at + 2 : at + 2 + length].decode()
        at += 2 + length
        (length,) = struct.unpack_from(">H", body, at)
        value = body[at + 2 : at + 2 + length]
        at += 2 + length
        if group is not None and name:  # further values of a set have no name; none of ours is a set
            group[name] = value != b"\x00" if tag == _BOOLEAN else value.decode("utf-8", "replace")
    return printers


# -- deciding


def state(printer, note):
    """What of a queue is compared, in the words of the module's own options."""
    fresh = note.get("make_and_model") == printer.get("printer-make-and-model", "")
    return {
        "uri": printer.get("device-uri", ""),
        "info": printer.get("printer-info", ""),
        "location": printer.get("printer-location", ""),
        "error_policy": printer.get("printer-error-policy", ""),
        "shared": printer.get("printer-is-shared", False),
        "driver": note.get("driver", "") if fresh else "unknown ({})".format(printer.get("printer-make-and-model", "")),
        "options": note.get("options", {}),
    }


def wish(queue, descriptions):
    """The same of a wished queue.  Raises OSError if its description cannot be read."""
    wished = {name: queue[name] for name in ("uri", "info", "location", "error_policy", "shared", "driver")}
    wished["info"] = wished["info"] or queue["name"]
    wished["options"] = {str(name): str(value) for name, value in queue["options"].items()}
    if queue["ppd"]:
        text = _description(queue, descriptions).read_bytes()
        wished["driver"] = f"{queue['ppd']} {hashlib.sha256(text).hexdigest()}"
    return wished


def _description(queue, descriptions):
    return Path(descriptions, queue["name"] + ".ppd")


def command(queue, wished, present, descriptions):
    """The words for lpadmin that make the queue what is wished."""
    words = ["-p", queue["name"], "-v", wished["uri"], "-D", wished["info"], "-L", wished["location"]]
    words += ["-o", "printer-error-policy=" + wished["error_policy"]]
    words += ["-o", "printer-is-shared=" + ("true" if wished["shared"] else "false")]
    for name, value in sorted(wished["options"].items()):
        words += ["-o", f"{name}={value}"]
    if present is None or present["driver"] != wished["driver"] or present["uri"] != wished["uri"]:
        words += ["-P", str(_description(queue, descriptions))] if queue["ppd"] else ["-m", queue["driver"]]
    # A queue that stopped stays stopped: whoever stopped it knows why.  A new one prints.
    return words if present is not None else [*words, "-E"]


# -- doing


class Notes:
    """Which driver and options each queue was last given."""

    def __init__(self, place):
        self._place = Path(place)

    def read(self, name):
        try:
            return json.loads((self._place / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def write(self, name, note):
        self._place.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = self._place / f"{name}.json.new"
        fresh.write_text(json.dumps(note), encoding="utf-8")
        fresh.replace(self._place / f"{name}.json")

    def forget(self, name):
        (self._place / f"{name}.json").unlink(missing_ok=True)


class Queues:
    """The queues as they are, and the ways to change them."""

    def __init__(self, module):
        self._module = module
        self._socket = module.params["socket"]
        self._notes = Notes(module.params["notes"])
        self._descriptions = module.params["descriptions"]
        self.said = []
        try:
            self._printers = self._read()
            default = ask(self._socket, _GET_DEFAULT, ("printer-name",))
        except NoAnswer as error:
            if not module.check_mode:
                module.fail_json(msg=f"The print server does not answer at {error}")
            self._printers, default = {}, []  # a dry run before the print server is installed
        self.default = default[0].get("printer-name", "") if default else ""

    def _read(self):
        return {found.get("printer-name"): found for found in ask(self._socket, _GET_PRINTERS, _ATTRIBUTES)}

    def present(self, name):
        """None if there is no such queue."""
        printer = self._printers.get(name)
        return None if printer is None else state(printer, self._notes.read(name))

    def make(self, queue, wished, present):
        self._lpadmin(command(queue, wished, present, self._descriptions))
        described = self._description_of(queue)
        if described is None:
            if present is None:
                self._lpadmin(["-x", queue["name"]])
            self._module.fail_json(
                msg=f"{queue['name']}: no printer answered at {queue['uri']}, and only the printer itself can tell how"
                f" it is driven. The queue {'was not made' if present is None else 'kept its old description'}."
            )
        note = {"driver": wished["driver"], "options": wished["options"], "make_and_model": described}
        self._notes.write(queue["name"], note)

    def _description_of(self, queue):
        """What CUPS calls the printer; None if it could not ask it.

        For "everywhere" CUPS asks the printer after lpadmin was told that all is well, and leaves a raw queue if the
        printer is off.
        """
        ends = time.monotonic() + _ANSWERS_WITHIN_S
        while True:
            described = self._read().get(queue["name"], {}).get("printer-make-and-model", "")
            if queue["ppd"] or queue["driver"] != "everywhere" or described.endswith(_EVERYWHERE):
                return described
            if time.monotonic() > ends:
                return None
            time.sleep(0.5)

    def remove(self, name):
        self._lpadmin(["-x", name])
        self._notes.forget(name)

    def prefer(self, name):
        self._lpadmin(["-d", name])

    def _lpadmin(self, words):
        lpadmin = self._module.get_bin_path("lpadmin", required=True, opt_dirs=["/usr/sbin"])
        code, out, error = self._module.run_command([lpadmin, "-h", self._socket, *words])
        if code != 0:
            self._module.fail_json(msg="lpadmin {}: {}".format(" ".join(words), (error or out).strip()))
        if error.strip():
            self.said.append(error.strip())


def differences(module, queues):
    """Before and after of everything that is not as wished; what is not a dry run is done on the way."""
    before, after = {}, {}
    for queue in module.params["queues"]:
        try:
            wished = wish(queue, module.params["descriptions"])
        except OSError as error:
            if not module.check_mode:
                module.fail_json(msg="{}: {}".format(queue["name"], error))
            wished = wish({**queue, "ppd": "", "driver": f"{queue['ppd']} (not there yet)"}, "")
        present = queues.present(queue["name"])
        if present != wished:
            before[queue["name"]], after[queue["name"]] = present or {}, wished
            if not module.check_mode:
                queues.make(queue, wished, present)
    for name in module.params["absent"]:
        present = queues.present(name)
        if present is not None:
            before[name], after[name] = present, {}
            if not module.check_mode:
                queues.remove(name)
    wished_default = module.params["default"]
    if wished_default and queues.default != wished_default:
        before["default"], after["default"] = queues.default, wished_default
        if not module.check_mode:
            queues.prefer(wished_default)
    return before, after


def main():
    policies = ["abort-job", "retry-current-job", "retry-job", "stop-printer"]
    queue = {
        "name": {"type": "str", "required": True},
        "uri": {"type": "str", "required": True},
        "driver": {"type": "str", "default": "everywhere"},
        "ppd": {"type": "str", "default": ""},
        "info": {"type": "str", "default": ""},
        "location": {"type": "str", "default": ""},
        "error_policy": {"type": "str", "choices": policies, "default": "retry-job"},
        "shared": {"type": "bool", "default": False},
        "options": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(
        argument_spec={
            "queues": {"type": "list", "elements": "dict", "options": queue, "default": []},
            "absent": {"type": "list", "elements": "str", "default": []},
            "default": {"type": "str", "default": ""},
            "descriptions": {"type": "path", "default": "/etc/annexfleet/ppd"},
            "socket": {"type": "path", "default": "/run/cups/cups.sock"},
            "notes": {"type": "path", "default": "/var/lib/annexfleet-printers"},
        },
        supports_check_mode=True,
    )
    queues = Queues(module)
    before, after = differences(module, queues)
    module.exit_json(
        changed=bool(after) or bool(before),
        warnings_said=queues.said,
        diff={"before": _text(before), "after": _text(after)},
    )


def _text(shown):
    return json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False) + "\n" if shown else ""


if __name__ == "__main__":
    main()
