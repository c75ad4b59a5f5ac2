"""Fixtures that give a test its database, once on SQLite and once on PostgreSQL.

`engine` has the tables of this version; `empty_engine` has none.  Both are new for each test: the tables are made once
and copied.
"""

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine

from annexfleet_controller.store.database import open_database
from annexfleet_controller.store.migrate import upgrade
from tests import postgres

_numbers = itertools.count(1)

_first: dict[str, Engine] = {}
"""The first engine of each dialect, for what all others of this process share with it."""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """One PostgreSQL server for the whole run."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    with postgres.running() as server:
        yield server


@cache
def _sqlite_template() -> Path:
    directory = tempfile.TemporaryDirectory(prefix="annexfleet-db-", dir=postgres.memory())
    atexit.register(directory.cleanup)
    file = Path(directory.name) / "controller.db"
    engine = open_database(f"sqlite:///{file}")
    upgrade(engine)
    engine.dispose()
    return file


def put_database(file: Path) -> None:
    """A SQLite file with the tables of this version and no rows, where a program looks for its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_sqlite_template(), file)


@pytest.fixture(scope="session")
def sqlite_template() -> Path:
    """A SQLite file with the tables of this version and no rows."""
    return _sqlite_template()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: postgres.Server) -> str:
    """The name of a PostgreSQL database with the tables of this version and no rows."""
    postgres_server.command("CREATE DATABASE template_annexfleet")
    engine = open_database(postgres_server.url("template_annexfleet"))
    upgrade(engine)
    engine.dispose()
    return "template_annexfleet"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database with the tables of this version; each test runs on both kinds."""
    if request.param == "sqlite":
        with _new_sqlite(request.getfixturevalue("sqlite_template")) as url:
            yield url
    else:
        template = request.getfixturevalue("postgres_template")
        with _new_postgres(request.getfixturevalue("postgres_server"), template) as url:
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        with _new_postgres(request.getfixturevalue("postgres_server"), "template1") as url:
            yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with the tables of this version; each test runs on both kinds."""
    made = opened(database_url)
    yield made
    made.dispose()


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[Engine]:
    """A database without tables; each test runs on both kinds."""
    made = open_database(empty_database_url)
    yield made
    made.dispose()


@pytest.fixture
def sqlite_engine(sqlite_template: Path) -> Iterator[Engine]:
    """A SQLite database with the tables of this version, for tests to which the kind does not matter."""
    with _new_sqlite(sqlite_template) as url:
        made = opened(url)
        yield made
        made.dispose()


def opened(url: str) -> Engine:
    """An engine that knows already how the statements of this process are written.

    SQLAlchemy keeps what it compiled, but for each engine alone; a new database for each test would have every
    statement compiled for each test, which took half the time of a page.
    """
    made = open_database(url)
    first = _first.get(made.dialect.name)
    if first is None:
        made.connect().close()  # A dialect learns about its server when it first connects.
        _first[made.dialect.name] = made
    else:
        made.dialect, made._compiled_cache = first.dialect, first._compiled_cache
    return made


@contextmanager
def _new_sqlite(template: Path) -> Iterator[str]:
    # In memory, as PostgreSQL: what is committed need not outlive the machine, and a disk takes milliseconds for each.
    with tempfile.TemporaryDirectory(prefix="annexfleet-db-", dir=postgres.memory()) as directory:
        shutil.copy(template, directory)
        yield f"sqlite:///{directory}/{template.name}"


@contextmanager
def _new_postgres(server: postgres.Server, template: str) -> Iterator[str]:
    name = f"annexfleet_{next(_numbers)}"
    # Copied as files: the usual way writes every page to the log too, which takes four times as long.
    server.command(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield server.url(name)
    # Hundreds of them would fill the memory they lie in.
    server.command(f"DROP DATABASE {name} WITH (FORCE)")
