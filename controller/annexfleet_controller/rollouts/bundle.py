"""The library of playbooks: where it lies, what is in it, and the copy that belongs to one run.

A playbook `<name>.yml` is known with what its role's `meta/argument_specs.yml` says of its variables.  What was
approved is named by a digest over every file of the library and what was asked for; a run works on a copy of its own,
and begins only if that copy has still the digest.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts.errors import LibraryWrong, PlaybookUnknown
from annexfleet_controller.rollouts.variables import Variable, specified
from annexfleet_controller.settings import Home
from annexfleet_controller.waves import natures
from annexfleet_controller.waves.model import Nature

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_LEFT_OUT = frozenset({"__pycache__", ".git", ".ansible", ".cache"})
_MAX_FILES = 5000
_GIVEN = "annexfleet_"
"""How variables begin that the inventory gives: nobody is asked for them."""
_MAX_FILE_BYTES = 16 * 1024 * 1024
_MAX_SPEC_BYTES = 256 * 1024


class Playbook(Struct, frozen=True, kw_only=True):
    name: str
    summary: str
    """English, as the role's author wrote it; words for people are in the catalogues where there are some."""
    description: str
    variables: tuple[Variable, ...]


def library(home: Home) -> Path:
    """The directory with the playbooks: by the setting `playbooks_dir`, else in this package, else in the checkout.

    Raises LibraryWrong.
    """
    if home.settings.playbooks_dir:
        found = Path(home.settings.playbooks_dir).expanduser()
    else:
        package = Path(__file__).parents[1]
        found = package / "playbooks"  # put there when the wheel was built (hatch_build.py)
        if not found.is_dir():
            found = package.parents[1] / "playbooks"
    if not found.is_dir():
        raise LibraryWrong(f"there are no playbooks at {found}")
    return found


def playbooks(home: Home) -> list[Playbook]:
    """All playbooks of the library, by name."""
    directory = library(home)
    names = sorted(file.stem for file in directory.glob("*.yml") if _NAME.fullmatch(file.stem))
    return [playbook for name in names if (playbook := _read(directory, name)) is not None]


def playbook(home: Home, name: str) -> Playbook:
    """Raises PlaybookUnknown."""
    directory = library(home)
    found = _read(directory, name) if _NAME.fullmatch(name) else None
    if found is None:
        raise PlaybookUnknown(f"no playbook {name[:60]!r}")
    return found


def nature(home: Home, name: str, variables: Mapping[str, Any]) -> Nature:
    """What a playbook says of itself for rollouts (`meta/rollout.yml` of its role), filled in with these variables.

    Raises LibraryWrong where the file cannot be so.
    """
    file = library(home) / "roles" / name / "meta" / "rollout.yml"
    if not _NAME.fullmatch(name) or not file.is_file():
        return natures.unknown(name)
    if file.stat().st_size > _MAX_SPEC_BYTES:
        raise LibraryWrong(f"{file} is larger than {_MAX_SPEC_BYTES} bytes")
    try:
        return natures.parse(file.read_text(encoding="utf-8"), variables)
    except (Invalid, UnicodeDecodeError) as error:
        raise LibraryWrong(f"{file}: {error}") from error


def digest(
    directory: Path, *, playbook: str, variables: Mapping[str, Any], secret_names: Sequence[str], check: bool
) -> str:  # fmt: skip
    """SHA-256 over every file of the library and what was asked for.  Raises LibraryWrong."""
    whole = hashlib.sha256()
    for name, file in _files(directory):
        whole.update(f"{name}\0{'x' if os.access(file, os.X_OK) else '-'}\0{_content_digest(file)}\n".encode())
    asked = {
        "playbook": playbook, "variables": variables, "secret_names": sorted(secret_names), "check": check,
    }  # fmt: skip
    whole.update(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode())
    return whole.hexdigest()


def copy(directory: Path, to: Path) -> None:
    """Copy the library, of which a digest is made, and nothing else: whole or not at all.  Raises LibraryWrong."""
    draft = to.with_name(f"{to.name}.draft")
    if draft.exists():
        shutil.rmtree(draft)  # of somebody who was killed over it
    draft.mkdir(mode=0o700)
    for name, file in _files(directory):
        target = draft / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(file, target)
        target.chmod(0o700 if os.access(file, os.X_OK) else 0o600)
    draft.rename(to)


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    """Every file with its name relative to the library, in order of the names."""
    found = []
    for place, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name not in _LEFT_OUT]
        for name in [*names, *directories]:
            file = Path(place, name)
            if file.is_symlink():
                raise LibraryWrong(f"{file} is a symbolic link: what it leads to could change unnoticed")
        found += [Path(place, name) for name in names if not name.endswith((".pyc", ".retry", "~"))]
        if len(found) > _MAX_FILES:
            raise LibraryWrong(f"{directory} holds more than {_MAX_FILES} files")
    yield from sorted((file.relative_to(directory).as_posix(), file) for file in found)


def _content_digest(file: Path) -> str:
    status = file.stat()
    if status.st_size > _MAX_FILE_BYTES:
        raise LibraryWrong(f"{file} is larger than {_MAX_FILE_BYTES} bytes")
    return _digest_once(file, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=_MAX_FILES)
def _digest_once(file: Path, _as_it_is: tuple[int, ...]) -> str:
    """A run is asked for within a transaction: what did not change is not read again."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _read(directory: Path, name: str) -> Playbook | None:
    """A playbook with its role's variables; None where the file is not there or is no playbook."""
    file = directory / f"{name}.yml"
    if not file.is_file():
        return None
    plays = _parsed(file)
    if not isinstance(plays, list) or not all(isinstance(play, dict) and "hosts" in play for play in plays):
        return None
    summary = description = ""
    found: dict[str, Variable] = {}
    for role in dict.fromkeys([name, *_roles(plays)]):
        spec = _argument_spec(directory / "roles" / role / "meta")
        summary = summary or str(spec.get("short_description") or "")
        told = spec.get("description") or ""
        description = description or (" ".join(map(str, told)) if isinstance(told, list) else str(told))
        found = {of.name: of for of in specified(spec.get("options")) if not of.name.startswith(_GIVEN)} | found
    return Playbook(name=name, summary=summary, description=description, variables=tuple(found.values()))


def _roles(plays: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for play in plays:
        for role in play.get("roles") or ():
            role_name = role.get("role") or role.get("name") if isinstance(role, dict) else role
            if isinstance(role_name, str) and _NAME.fullmatch(role_name):
                yield role_name


def _argument_spec(meta: Path) -> Mapping[str, Any]:
    file = meta / "argument_specs.yml"
    document = _parsed(file) if file.is_file() else None
    specs = document.get("argument_specs") if isinstance(document, dict) else None
    main = specs.get("main") if isinstance(specs, dict) else None
    return main if isinstance(main, dict) else {}


def _parsed(file: Path) -> Any:
    status = file.stat()
    if status.st_size > _MAX_SPEC_BYTES:
        raise LibraryWrong(f"{file} is larger than {_MAX_SPEC_BYTES} bytes")
    return _yaml(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=200)
def _yaml(file: Path, _changed_ns: int, _size: int) -> Any:
    """Read once while it does not change: a list of playbooks is asked for again and again."""
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise LibraryWrong(f"{file}: {error}") from error
