import threading

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect

from annexfleet_controller.store import migrate
from annexfleet_controller.store.database import open_database
from annexfleet_controller.store.tables import Base


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
