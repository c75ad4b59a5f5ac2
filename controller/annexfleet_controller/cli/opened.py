"""The database for a command: migrated, and closed afterwards."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from annexfleet_controller.cli.exits import NotReady
from annexfleet_controller.settings import Home
from annexfleet_controller.store import database, migrate


def console_user() -> str:
    """Who sits at this console, for the audit: the person behind sudo, else the system's user."""
    return os.environ.get("SUDO_USER") or _system_user()


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return str(os.getuid())


@contextmanager
def opened_engine(home: Home) -> Iterator[Engine]:
    """The database, brought to this version.  Raises NotReady if it cannot be used."""
    engine = database.open_database(home.database_url)
    try:
        migrate.upgrade(engine)
        yield engine
    except DatabaseError as error:
        raise NotReady(f"The database cannot be used: {error.orig}. `annexfleet doctor` says more.") from error
    finally:
        engine.dispose()


@contextmanager
def opened(home: Home) -> Iterator[Session]:
    """A session whose work is committed at the end.  Raises NotReady as `opened_engine` does."""
    with opened_engine(home) as engine, database.writing(engine) as db:
        yield db
