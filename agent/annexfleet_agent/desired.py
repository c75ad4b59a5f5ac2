"""What the controller wishes: checked as something a stranger wrote, and remembered across restarts."""

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from annexfleet_agent.protocol.messages import Config, DesiredSettings

log = logging.getLogger(__name__)

_FILE = "desired.json"
_ADDRESS = re.compile(r"[A-Za-z0-9._:\[\]-]{1,120}:\d{1,5}")


class Refused(Exception):
    """Settings that a controller may not ask for; the message is a code and where."""


def check(settings: DesiredSettings) -> None:
    """Raises Refused for addresses that are not plain http or https, bear credentials, or name a port that is none."""
    for portal in settings.portals or ():
        if any(character <= " " or character == "\x7f" for character in portal.url):
            raise Refused(f"not_a_url portals {portal.name}")
        try:
            parts = urlsplit(portal.url)
            port = parts.port
        except ValueError:
            raise Refused(f"not_a_url portals {portal.name}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise Refused(f"not_http portals {portal.name}")
        if parts.username is not None or parts.password is not None or "@" in parts.netloc:
            raise Refused(f"credentials portals {portal.name}")
    names = [portal.name for portal in settings.portals or ()]
    if len(set(names)) != len(names):
        raise Refused("name_twice portals")
    for address in settings.printers_probed_elsewhere or ():
        if not _ADDRESS.fullmatch(address):
            raise Refused("not_an_address printers_probed_elsewhere")


def load(state_dir: Path) -> Config | None:
    """The settings of before the restart; None if there are none, or none that can be used."""
    try:
        config = msgspec.json.decode((state_dir / _FILE).read_bytes(), type=Config)
        check(config.settings)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, Refused) as error:
        log.warning("the remembered settings of the controller cannot be used reason=%s", error)
        return None
    return config


def save(state_dir: Path, config: Config) -> None:
    """Remember; a disk that is full costs only that."""
    try:
        replace_file(state_dir / _FILE, msgspec.json.encode(config))
    except OSError as error:
        log.warning("the controller's settings could not be remembered reason=%s", error)


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that it has either the old content or the new.  Raises OSError."""
    new = path.with_suffix(".new")
    try:
        with new.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
