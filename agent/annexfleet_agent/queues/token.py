"""The secret that lets a queue system on this machine push its figures."""

import base64
import os
from pathlib import Path

from annexfleet_agent.settings import Settings


def path_of(settings: Settings) -> Path:
    """Where the token is kept."""
    return Path(settings.push.token_file or Path(settings.agent.state_dir) / "push.token")


def read(settings: Settings) -> str:
    """The token.  Raises FileNotFoundError, PermissionError; ValueError if the file holds none."""
    token = path_of(settings).read_text("ascii").strip()
    if not 16 <= len(token) <= 512 or not token.isprintable() or " " in token:
        raise ValueError(f"{path_of(settings)} holds no token of 16 to 512 characters")
    return token


def read_or_make(settings: Settings) -> str:
    """The token, made at the first start; its owner and group can read it.  Raises as `read` does, and OSError."""
    path = path_of(settings)
    token = base64.urlsafe_b64encode(os.urandom(32)).decode("ascii").rstrip("=")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    except FileExistsError:
        return read(settings)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token
