"""What devices say to the writer, and what it left in the database."""

from datetime import UTC, datetime

from sqlalchemy import Engine, select
from tests.controller.fleet import device_id

from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.messages import (
    Beat,
    Change,
    Hello,
    Summary,
    UpMessage,
)
from annexfleet_controller.ingest.decode import Received, decode
from annexfleet_controller.ingest.settle import Settled
from annexfleet_controller.ingest.writer import write
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.tables.readings import (
    DeviceState,
    Mark,
)

NOW = 1_700_000_000.0
D1, D2 = device_id(1), device_id(2)


def hello(*, session: str = "s1", install: str = "i1", clock: float = NOW, config: int = 0) -> Hello:
    return Hello(
        clock=clock,
        session_id=session,
        boot_id="b1",
        install_id=install,
        next_seq=1,
        agent_version="1",
        config_version=config,
    )


def beat(seq: int, *, at: float = NOW, cpu: float = 0.5) -> Beat:
    return Beat(seq=seq, at=at, seconds=300, samples=10, numbers={"": {"cpu_used_ratio": Summary(cpu, 0, cpu, 1)}})


def change(seq: int, *, at: float = NOW, collector: str = "disk", value: float = 0.9) -> Change:
    return Change(seq=seq, at=at, collector=collector, readings={"disk:/": {"disk_used_ratio": value}})


def hear(engine: Engine, *said: tuple[str, UpMessage], at: float = NOW) -> Settled:
    batch = [decode(Received(topics.up(id_, wire.kind_of(m)), wire.encode(m), at)) for id_, m in said]
    return write(engine, batch, datetime.fromtimestamp(at, UTC))


def state(engine: Engine, number: int = 1) -> DeviceState:
    with reading(engine) as db:
        found = db.get(DeviceState, number)
        assert found is not None
        return found


def rows(engine: Engine, table: type) -> list:
    with reading(engine) as db:
        return list(db.scalars(select(table)))


def mark(engine: Engine, number: int = 1, install: str = "i1") -> tuple[int, str]:
    with reading(engine) as db:
        found = db.get(Mark, (number, install))
        assert found is not None
        return found.upto, found.ahead
