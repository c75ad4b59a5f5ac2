"""How Alembic runs here: on the connection that store.migrate hands over, and inside its transaction."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from annexfleet_controller.store.tables import Base
from annexfleet_controller.store.types import UtcDateTime


def _render(kind: str, thing: Any, _autogen: AutogenContext) -> str | Literal[False]:
    # A migration must mean the same for ever, so it names no type of ours.
    return "sa.BigInteger()" if kind == "type" and isinstance(thing, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
    render_item=_render,
    compare_type=True,
    transactional_ddl=True,  # SQLite can, with the transactions of store.database
)
context.run_migrations()
