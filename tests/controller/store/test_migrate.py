import threading

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, MetaData, String, Text, inspect, select

from annexfleet_controller.store import migrate
from annexfleet_controller.store.database import open_database, reading
from annexfleet_controller.store.tables import Base
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex


def test_the_migrations_make_exactly_the_tables(empty_engine: Engine):
    migrate.upgrade(empty_engine)

    with empty_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    assert migrate.is_current(empty_engine)


def test_an_empty_database_is_not_current(empty_engine: Engine):
    assert not migrate.is_current(empty_engine)


def test_a_second_upgrade_changes_nothing(empty_engine: Engine):
    migrate.upgrade(empty_engine)
    before = sorted(inspect(empty_engine).get_table_names())

    migrate.upgrade(empty_engine)

    assert sorted(inspect(empty_engine).get_table_names()) == before


def test_devices_of_the_release_before_are_still_there_after_an_upgrade(empty_engine: Engine):
    with empty_engine.execution_options(immediate=True).begin() as connection:
        command.upgrade(migrate._config(connection), "0002")
        old = MetaData()
        old.reflect(connection)
        for name, row in BEFORE_RUNS:
            needed = {
                column.name: "" if isinstance(column.type, String | Text) else 0
                for column in old.tables[name].columns
                if not column.nullable and column.server_default is None
            }
            connection.execute(old.tables[name].insert().values(needed | row))

    migrate.upgrade(empty_engine)

    with reading(empty_engine) as db:
        device = db.scalars(select(Device)).one()
        assert (device.id, device.connection, device.ssh_address, device.exchange_key) == ("d-a", "mqtt", "", None)
        assert db.scalars(select(Annex.id)).all() == ["berkane-1"]


BEFORE_RUNS = (
    ("annex", {"id": "berkane-1"}),
    ("device", {"number": 1, "id": "d-a", "annex_id": "berkane-1", "name": "one", "role": "kiosk", "enrolled_at": 0}),
)
"""Rows of 0002."""


def test_two_processes_may_upgrade_at_once(empty_database_url: str):
    engines = [open_database(empty_database_url) for _ in range(2)]
    failed: list[BaseException] = []

    def run(engine: Engine) -> None:
        try:
            migrate.upgrade(engine)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert migrate.is_current(engines[0])
    for engine in engines:
        engine.dispose()
