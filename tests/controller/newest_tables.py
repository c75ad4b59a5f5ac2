"""Tables that no migration makes yet."""

from sqlalchemy import Engine

from annexfleet_controller.store.tables import Base


def made(engine: Engine) -> Engine:
    """The database with all tables; those that stand are left alone."""
    Base.metadata.create_all(engine)
    return engine
