"""The database for a command: migrated, and closed afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from annexfleet_controller.cli.exits import NotReady
from annexfleet_controller.settings import Home
from annexfleet_controller.store import database, migrate


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
