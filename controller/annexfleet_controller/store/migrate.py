"""Bringing a database to the tables this version knows.

`upgrade` may be called by several processes at once and on a database that is up to date already: it does what is
missing and nothing else.  A migration only ever adds; what a release stops using is removed a release later, so that
the old and the new program can run side by side while one replaces the other.

For developers: `python -m annexfleet_controller.store.migrate "add the colour of a printer"` writes the next migration
from the difference between the tables and the migrations there are.
"""

import sys
import tempfile
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from annexfleet_controller.store.database import open_database

_MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x616E_6E65_78  # "annex": PostgreSQL's advisory lock that upgrades wait for each other with


def upgrade(engine: Engine) -> None:
    """Create or change the tables until they are those of this version."""
    if is_current(engine):
        return  # every command asks, and Alembic takes its time to find that nothing is to be done
    with engine.execution_options(immediate=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
        command.upgrade(_config(connection), "head")


def is_current(engine: Engine) -> bool:
    """Whether the database is at the newest migration that this program knows."""
    with engine.connect() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    return set(heads) == _heads()


@cache
def _heads() -> frozenset[str]:
    return frozenset(ScriptDirectory(str(_MIGRATIONS)).get_heads())


def write_next(message: str) -> None:
    """Write the next migration from what the tables have and the migrations have not."""
    with tempfile.TemporaryDirectory() as directory:
        engine = open_database(f"sqlite:///{directory}/empty.db")
        upgrade(engine)
        number = len(list((_MIGRATIONS / "versions").glob("[0-9]*.py"))) + 1
        with engine.begin() as connection:
            command.revision(_config(connection), message, autogenerate=True, rev_id=f"{number:04d}")
        engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    # Alembic reads a percent sign as the start of a variable.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


if __name__ == "__main__":
    write_next(sys.argv[1])
