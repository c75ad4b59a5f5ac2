"""Under which address people reach our pages, for what leaves them: a link on paper, a code on a printer."""

import ipaddress
from urllib.parse import urlsplit

from fastapi import Request
from msgspec import Struct

from annexfleet_controller.settings import Settings


class Address(Struct, frozen=True):
    """Where these pages are, as far as is known."""

    base: str
    """Without a slash at its end."""
    only_here: bool
    """Whether it leads nowhere but to this very machine: nothing for paper."""

    def of(self, path: str) -> str:
        return f"{self.base}{path}"


def address_of(request: Request) -> Address:
    """What the setting `public_url` says, else what this browser asked."""
    settings: Settings = request.app.state.home.settings
    return address(settings.public_url or str(request.base_url))


def address(url: str) -> Address:
    """The address that this one begins with."""
    base = url.rstrip("/")
    return Address(base, _is_of_this_machine(urlsplit(base).hostname or ""))


def _is_of_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in {"", "localhost"} or host.endswith(".localhost")
