"""Variables and hosts as files that Ansible reads, in which every text is marked as data.  Thinks only.

Whatever a device or a person wrote may look like a template.  The mapping around it bears the tag `!unsafe`, so that
Ansible (ansible-core 2.19) never reads a text in it, keys too, as a template, however often it is handed on.  No text
bears the tag itself: Ansible would then ask anew what it is without its quotes, and make a number of "007", a boolean
of "yes" and nothing of "".
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_PLAIN = frozenset(map(chr, range(0x20, 0x7F))) - {'"', "\\"}


def document(value: Mapping[str, Any]) -> str:
    """Variables as YAML in ASCII.  A half of a surrogate pair becomes U+FFFD; what is no JSON becomes text."""
    return f"!unsafe {_written(value)}\n"


def inventory(hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Iterable[str]]) -> str:
    """An inventory of exactly these hosts, as Ansible's `yaml` plugin reads it.

    The groups' members that are not among the hosts are left out.  Hosts and groups are called by names of our own
    making, which stand there as they are.
    """
    children: dict[str, list[str]] = {
        group: [host for host in sorted(members) if host in hosts] for group, members in groups.items()
    }
    lines = ["all:", "  hosts:"]
    lines += [f"    {_quoted(host)}: !unsafe {_written(hosts[host])}" for host in sorted(hosts)]
    if not hosts:
        lines[-1] += " {}"
    lines.append("  children:" if children else "  children: {}")
    for group in sorted(children):
        members = ", ".join(f"{_quoted(host)}: {{}}" for host in children[group])
        lines.append(f"    {_quoted(group)}: {{hosts: {{{members}}}}}")
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(str(key))}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "[" + ", ".join(map(_written, value)) + "]"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return '"' + "".join(letter if letter in _PLAIN else _escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    code = ord(letter)
    if 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
