"""The database for a command: migrated, in one transaction, closed afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from annexfleet_controller.cli.exits import NotReady
from annexfleet_controller.settings import Home
from annexfleet_controller.store import database, migrate


@contextmanager
def opened(home: Home) -> Iterator[Session]:
    """A session whose work is committed at the end.  Raises NotReady if the database cannot be used."""
    engine = database.open_database(home.database_url)
    try:
        migrate.upgrade(engine)
        with database.writing(engine) as db:
            yield db
    except OperationalError as error:
        raise NotReady(f"The database cannot be used: {error.orig}. `annexfleet doctor` says more.") from error
    finally:
        engine.dispose()
