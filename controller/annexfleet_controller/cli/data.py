"""`annexfleet migrate`, `backup` and `restore`: the data as a whole."""

import argparse
import io
import os
import sqlite3
import tarfile
import tempfile
import time
from contextlib import closing
from pathlib import Path

from annexfleet_controller.cli import exits, lock
from annexfleet_controller.cli.exits import NotReady
from annexfleet_controller.cli.opened import opened_engine
from annexfleet_controller.settings import Home

_KEPT_DIRS = ("authority", "secrets", "signer")
_KEPT_FILES = ("controller.toml", "accounts.key")
_SKIPPED_SUFFIXES = (".sock", ".pid", ".log", ".lock")
_DATABASE = "controller.db"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    commands.add_parser("migrate", help="bring the database to this version's tables").set_defaults(run=_migrate)
    backup = commands.add_parser(
        "backup",
        help="copy database, authority, command keys and settings into one file, while everything runs",
        description="The file holds the authority's private keys (mode 0600): keep it like a password.",
    )
    backup.add_argument("file", type=Path, help="a .tar that does not exist yet")
    backup.set_defaults(run=_backup)
    restore = commands.add_parser("restore", help="put a backup into an empty home (serve must not be running)")
    restore.add_argument("file", type=Path)
    restore.set_defaults(run=_restore)


def _migrate(home: Home, args: argparse.Namespace) -> int:
    with opened_engine(home):
        pass  # opening migrates
    print("The database is up to date.")
    return exits.DONE


def _backup(home: Home, args: argparse.Namespace) -> int:
    file: Path = args.file
    if home.settings.database_url and not home.settings.database_url.startswith("sqlite"):
        print("The database is PostgreSQL: copy it with pg_dump. This file holds the authority and the settings.")
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w") as tar:
            _put_database(tar, home)
            for name in (*_KEPT_FILES, *_KEPT_DIRS):
                if (home.path / name).exists():
                    tar.add(home.path / name, arcname=name, filter=_kept)
            raw.flush()
            os.fsync(raw.fileno())
    except BaseException:
        file.unlink()  # half a backup is worse than none
        raise
    print(f"{file} holds everything ({file.stat().st_size / 1e6:.1f} MB), the authority's private keys too.")
    return exits.DONE


def _put_database(tar: tarfile.TarFile, home: Home) -> None:
    """A copy of the SQLite file as of one moment, though others write it meanwhile."""
    source = sqlite_file(home)
    if source is None:
        return
    if not source.exists():
        raise NotReady(f"There is no database at {source} yet: nothing to back up.")
    with tempfile.TemporaryDirectory(dir=home.path, prefix=".backup-") as scratch:
        copy = Path(scratch) / _DATABASE
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as db:
            db.execute("VACUUM INTO ?", (str(copy),))
        tar.add(copy, arcname=_DATABASE, filter=_kept)
    note = f"annexfleet backup of {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n".encode()
    info = tarfile.TarInfo("BACKUP")
    info.size = len(note)
    info.mode = 0o600
    tar.addfile(info, io.BytesIO(note))


def sqlite_file(home: Home) -> Path | None:
    """The database's file; None if it is no SQLite."""
    url = home.database_url
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if info.name.endswith(_SKIPPED_SUFFIXES) or not (info.isfile() or info.isdir()):
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _restore(home: Home, args: argparse.Namespace) -> int:
    present = [name for name in (_DATABASE, "accounts.key", *_KEPT_DIRS) if (home.path / name).exists()]
    if present:
        raise NotReady(
            f"{home.path} is not empty (it has {', '.join(present)}): restore into a new home, or move them away."
        )
    with lock.held(home.path, "serve"), tarfile.open(args.file) as tar:
        if "BACKUP" not in tar.getnames() and not set(tar.getnames()) & set(_KEPT_DIRS):
            raise NotReady(f"{args.file} is no backup of annexfleet.")
        tar.extractall(home.path, filter="data")
    print(f"Restored into {home.path}. Start it with: annexfleet --home {home.path} serve --with-broker")
    return exits.DONE
