"""Tells whether what Ansible wants executed is one of its modules, so that a device can run it in a warm Python.

The connection plugin imports this: the standard library alone, and nothing of Ansible.  Only what is known to the last
byte is recognised; anything else is to be executed as Ansible wrote it, which is always right, and slower.
"""

import ast
import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

WRAPPERS = frozenset({"43bc1ace17444b261bf0643d537ef60c4a5037e9bc0be8500526feada39422c7"})
"""SHA-256 of all that stands between the first line and the call, of the versions of ansible-core whose wrapper does
what `annexfleet_agent.runner.warm.run_as_ansible_does` does: 2.19.0 to 2.20.0 have the same."""

_CALL = b'\n\n\nif __name__ == "__main__":\n    _ansiballz_main(\n'
_MOST_WRAPPER_BYTES = 32 * 1024
_END = "\n)\n"
_TYPES: dict[str, type] = {
    "ansible_module": str, "module_fqn": str, "profile": str, "rlimit_nofile": int, "params": str, "extensions": dict,
    "zip_data": str,
}  # fmt: skip
_BASE64 = re.compile(r"'([A-Za-z0-9+/]*={0,2})'")
_DATE = re.compile(r"datetime\.datetime\([0-9]+(, [0-9]+)*, tzinfo=datetime\.timezone\.utc\)")

_INTERPRETER = re.compile(r"/usr/bin/python3(\.[0-9]{1,2})?")
_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_SUDO = re.compile(r"sudo -H -S -n +-u root /bin/sh -c (.+)", re.DOTALL)
_BECAME = re.compile(r"echo BECOME-SUCCESS-[a-z]+ ; (.+)", re.DOTALL)
_SLEEP = " && sleep 0"


class Call(NamedTuple):
    """A module to be run, as the plugin tells the relay (`_asdict`)."""

    zip_data: str
    """Base64."""
    module: str
    """Its name as the task has it: `stat`"""
    fqn: str
    params: str
    """JSON."""
    profile: str
    extensions: str
    """JSON."""
    rlimit_nofile: int
    environment: dict[str, str]
    interpreter: str
    as_root: bool
    """Through sudo, if the runner is not root."""


def recognise(argv: Sequence[str], in_data: bytes) -> Call | None:
    """The module that this command would run from its standard input; None if it is, or might be, anything else.

    `argv`: what Ansible wants executed, split as a shell would: `["/bin/sh", "-c", "/usr/bin/python3 && sleep 0"]`.
    """
    if len(argv) != 3 or list(argv[:2]) != ["/bin/sh", "-c"] or not in_data:
        return None
    command, as_root = _without_sudo(argv[2].removesuffix(_SLEEP))
    surroundings = _surroundings(command)
    if surroundings is None:
        return None
    arguments = _arguments(in_data)
    if arguments is None:
        return None
    environment, interpreter = surroundings
    return Call(
        zip_data=arguments["zip_data"],
        module=arguments["ansible_module"],
        fqn=arguments["module_fqn"],
        params=arguments["params"],
        profile=arguments["profile"],
        extensions=arguments["extensions"],
        rlimit_nofile=arguments["rlimit_nofile"],
        environment=environment,
        interpreter=interpreter,
        as_root=as_root,
    )


def _without_sudo(command: str) -> tuple[str, bool]:
    """What sudo would have a shell do as root, and True; a command without sudo, or with another, as it is."""
    asked = _SUDO.fullmatch(command)
    if asked is None:
        return command, False
    inner = _only_word(asked[1])
    became = _BECAME.fullmatch(inner) if inner is not None else None
    return (became[1], True) if became is not None else (command, False)


def _only_word(text: str) -> str | None:
    """What a shell would read as one word and nothing else, quoted as Ansible quotes."""
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    return words[0] if len(words) == 1 and shlex.quote(words[0]) == text else None


def _surroundings(command: str) -> tuple[dict[str, str], str] | None:
    """Environment and interpreter of `NAME=value … /usr/bin/python3`; None if the shell has anything else to do."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if not words or not _INTERPRETER.fullmatch(words[-1]):
        return None
    environment = {}
    rebuilt = []
    for word in words[:-1]:
        assigned = _ASSIGNED.fullmatch(word)
        if assigned is None:
            return None
        environment[assigned[1]] = assigned[2]
        rebuilt.append(f"{assigned[1]}={shlex.quote(assigned[2])}")
    # Written as Ansible would: so nothing in it was an operator, an expansion, or a substitution.
    return (environment, words[-1]) if " ".join([*rebuilt, words[-1]]) == command else None


def _arguments(in_data: bytes) -> dict[str, Any] | None:
    """What the wrapper's call hands over; `extensions` as JSON."""
    end = in_data.find(_CALL, 0, _MOST_WRAPPER_BYTES)
    shebang = in_data.find(b"\n", 0, 200)
    if end < 0 or shebang < 0 or hashlib.sha256(in_data[shebang + 1 : end]).hexdigest() not in WRAPPERS:
        return None
    try:
        found = _read(in_data[end + len(_CALL) :].decode())
        if any(type(found[name]) is not kind for name, kind in _TYPES.items()):
            return None
        json.loads(found["params"])
        return found | {"extensions": json.dumps(found["extensions"])}
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError):
        return None


def _read(call: str) -> dict[str, Any]:
    """The call's arguments: Ansible writes one a line.  Raises ValueError, and what `ast.literal_eval` raises."""
    if not call.endswith(_END):
        raise ValueError("something follows the call")
    found: dict[str, Any] = {}
    for line in call.removesuffix(_END).split("\n"):
        name, _, value = line.removesuffix(",").partition("=")
        if not line.endswith(",") or name in found:
            raise ValueError("no argument")
        if name == "date_time":  # a call itself, and only dates the archive
            found[name] = _DATE.fullmatch(value) is not None
        elif base64 := _BASE64.fullmatch(value):  # long, and needs no parsing
            found[name] = base64[1]
        else:
            found[name] = ast.literal_eval(value)
    if not found.pop("date_time", False) or found.keys() != _TYPES.keys():
        raise ValueError("other arguments")
    return found
