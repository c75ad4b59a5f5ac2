"""The values of a rollout's secrets: `rollouts/<id>/secrets.json` in the home, for the owner's eyes, until it is over.

They are copied into the directory of each run that it begins, and are never in the database, in a log or in an event.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from annexfleet_controller.identity import files
from annexfleet_controller.settings import Home

NEW_FOR_S = 3600.0
"""A directory without a row is left alone for so long: its draft may be about to be committed."""


def keep(home: Home, rollout_id: int, secrets: Mapping[str, Any]) -> None:
    """Before the commit of what names them; without any there is nothing to keep."""
    if not secrets:
        remove(home, rollout_id)
        return
    directory = _directory(home, rollout_id)
    files.private_directory(directory.parent)
    files.private_directory(directory)
    files.write(directory / "secrets.json", msgspec.json.encode(secrets))


def secrets(home: Home, rollout_id: int) -> dict[str, Any]:
    """Empty where there are none: never given, or lost with the machine that had them."""
    try:
        return msgspec.json.decode(
            (_directory(home, rollout_id) / "secrets.json").read_bytes(), type=dict[str, Any]
        )  # fmt: skip
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def remove(home: Home, rollout_id: int) -> None:
    """When it is over.  What cannot be removed now is removed later, by `tidy`."""
    shutil.rmtree(_directory(home, rollout_id), ignore_errors=True)


def tidy(home: Home, is_over: Callable[[int], bool | None], *, now_s: float) -> None:
    """Remove what is left of rollouts that are over, or never came to be.  `is_over`: None where there is no such."""
    try:
        places = [place for place in (home.path / "rollouts").iterdir() if place.name.isdecimal()]
    except FileNotFoundError:
        return
    for place in places:
        over = is_over(int(place.name))
        if over or (over is None and now_s - place.stat().st_mtime > NEW_FOR_S):
            remove(home, int(place.name))


def _directory(home: Home, rollout_id: int) -> Path:
    return home.path / "rollouts" / str(rollout_id)
