"""A province for tests of rollouts: devices as rows, a clock that is turned, and runs whose processes are made up."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, update
from tests.controller.fleet import device_id

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Inventory
from annexfleet_controller import settings
from annexfleet_controller.clock import Clock
from annexfleet_controller.rollouts import proposing
from annexfleet_controller.rollouts.conducting import Conductor
from annexfleet_controller.rollouts.proposing import Asker, Wish
from annexfleet_controller.settings import Home
from annexfleet_controller.store import (
    figures,
    pulses,
    rollout_events,
    rollout_targets,
    rollouts,
    run_hosts,
    run_queue,
    run_results,
    runs,
    states,
)
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.store.run_progress import Batch, Progress
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.readings import DeviceState
from annexfleet_controller.waves.model import Policy, Selector

AMINA = Asker(name="amina", via="session")
BRAHIM = Asker(name="brahim", via="session")
NIGHT = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
"""A Tuesday evening: every annex is closed, until seven and a half in the morning at the earliest."""
QUICK = Policy(
    canary_count=1, growth=10.0, soak_s=60.0, canary_soak_s=60.0, verify_within_s=300.0, longest_wait_s=3600.0
)
NATURE = """
configures: agent
expects:
  - {fact: agent_version, equals: {variable: shift_version}}
reverse:
  playbook: shift
  before: {shift_version: agent_version}
interrupts: true
takes_s: 60
"""


class Turned(Clock):
    """Stands until it is turned."""

    def __init__(self, at: datetime = NIGHT) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def mono(self) -> float:
        return self.at.timestamp()


class Province:
    """Counters and what becomes of them; `OK` runs bring the wanted version to a device."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.engine = engine
        self.clock = Turned()
        self.home = _home(path, engine)
        self.library = Path(self.home.settings.playbooks_dir)
        self.playbook("shift", NATURE)
        self.conductor = self.new_conductor()
        self.count = 0
        self.begun: list[tuple[int, int]] = []
        """Run and device, of every run that was ever seen."""
        self.taken: list[int] = []
        """Runs that have a process and were not carried out yet."""

    def new_conductor(self) -> Conductor:
        return Conductor(self.home, self.engine, clock=self.clock)

    # -- what there is

    def playbook(self, name: str, nature: str, *, options: str = "") -> None:
        role = self.library / "roles" / name
        for part in ("tasks", "meta"):
            (role / part).mkdir(parents=True, exist_ok=True)
        (role / "tasks" / "main.yml").write_text("[]\n")
        options = options or f"{{{name}_version: {{type: str}}, {name}_key: {{type: str, no_log: true}}}}"
        (role / "meta" / "argument_specs.yml").write_text(
            f"argument_specs:\n  main:\n    short_description: A test\n    options: {options}\n"
        )
        (role / "meta" / "rollout.yml").write_text(nature)
        (self.library / f"{name}.yml").write_text(
            f"- name: Play\n  hosts: all\n  gather_facts: false\n  roles:\n    - {name}\n"
        )

    def annex(self, annex_id: str, devices: int, *, role: str = "counter", version: str = "1.0") -> list[int]:
        """An annex with counters that are online; their numbers."""
        with writing(self.engine) as db:
            db.add(Annex(id=annex_id, name_fr=annex_id, name_ar=annex_id, created_at=self.clock.at))
            db.flush()
            numbers = list(range(self.count + 1, self.count + devices + 1))
            self.count += devices
            db.add_all(
                Device(
                    number=n, id=device_id(n), annex_id=annex_id, name=f"device {n}", role=role, model="M1",
                    enrolled_at=self.clock.at - timedelta(days=30), exchange_key=b"k" * 32,
                )
                for n in numbers
            )  # fmt: skip
            db.flush()
            db.add_all(
                DeviceState(
                    device_number=n, connected=True, session_id="s", boot_id="b", agent_version=version,
                    connected_at=self.clock.at - timedelta(days=1), heard_at=self.clock.at,
                )
                for n in numbers
            )  # fmt: skip
        self.listen()
        return numbers

    def listen(self) -> None:
        with writing(self.engine) as db:
            figures.put(
                db,
                {
                    "ingest_alive_at_seconds": self.clock.at.timestamp(),
                    "ingest_connected_at_seconds": (NIGHT - timedelta(days=2)).timestamp(),
                },
                now=self.clock.at,
            )

    def hear(self, numbers: Sequence[int], **values: object) -> None:
        """These devices tell something; `values` are columns of their state."""
        with writing(self.engine) as db:
            changed = {"heard_at": self.clock.at, **values}
            db.execute(update(DeviceState).where(DeviceState.device_number.in_(numbers)).values(**changed))
            pulses.add(db, dict.fromkeys(numbers, "b"), now=self.clock.at)

    def go(self, numbers: Sequence[int]) -> None:
        self.hear(numbers, connected=False, gone_at=self.clock.at)

    def come(self, numbers: Sequence[int]) -> None:
        self.hear(numbers, connected=True, connected_at=self.clock.at)

    def inventory(self, number: int, packages: Mapping[str, str]) -> None:
        told = Inventory(seq=1, at=self.clock.at.timestamp(), digest="x", packages=dict(packages))
        with writing(self.engine) as db:
            states.write_inventories(db, [(number, 1, self.clock.at.timestamp(), "x", wire.encode(told))])
            pulses.add(db, {number: "c"}, now=self.clock.at)

    # -- rollouts

    def wish(self, **over: object) -> Wish:
        values: dict[str, object] = {
            "name": "New agents", "playbook": "shift", "variables": {"shift_version": "2.0"}, "selector": Selector(),
            "policy": QUICK, "deadline_s": 5 * 86400.0, "reason": "They leak",
        }  # fmt: skip
        return Wish(**(values | over))  # type: ignore[arg-type]

    def draft(self, asker: Asker = AMINA, **over: object) -> int:
        with writing(self.engine) as db:
            return proposing.draft(db, self.home, self.wish(**over), asker, now=self.clock.at)

    def started(self, **over: object) -> int:
        """A rollout that was submitted, approved and started."""
        id_ = self.draft(**over)
        self.act(proposing.submit, id_, home=True)
        if self.detail(id_).state == "submitted":
            self.act(proposing.approve, id_, asker=BRAHIM, home=True)
        self.act(proposing.start, id_, home=True)
        return id_

    def act(
        self, what: Callable[..., Detail], id_: int, *, asker: Asker = AMINA, home: bool = False, **facts: object
    ) -> Detail:
        with writing(self.engine) as db:
            facts.setdefault("version", rollouts.find(db, WHOLE, id_).version)
            args = (db, self.home, id_, asker) if home else (db, id_, asker)
            return what(*args, now=self.clock.at, **facts)

    def detail(self, id_: int) -> Detail:
        with reading(self.engine) as db:
            return rollouts.find(db, WHOLE, id_)

    def targets(self, id_: int) -> dict[int, rollout_targets.TargetRow]:
        with reading(self.engine) as db:
            return {row.device_number: row for row in rollout_targets.listing(db, WHOLE, id_)}

    def states(self, id_: int) -> dict[int, str]:
        return {number: row.state for number, row in self.targets(id_).items()}

    def story(self, id_: int) -> list[str]:
        with reading(self.engine) as db:
            return [event.kind for event in reversed(rollout_events.of(db, id_))]

    # -- time

    def turn(self, seconds: float = 2.0, *, heard: bool = True) -> None:
        """Time passes, devices that are there tell something, and the conductor looks."""
        self.pass_time(seconds, heard=heard)
        self.conductor.turn()

    def pass_time(self, seconds: float, *, heard: bool = True) -> None:
        self.clock.at += timedelta(seconds=seconds)
        self.listen()
        if heard:
            with reading(self.engine) as db:
                online = [n for n in range(1, self.count + 1) if (of := db.get(DeviceState, n)) and of.connected]
            self.hear(online)

    def waiting_runs(self) -> list[int]:
        with reading(self.engine) as db:
            return [run.id for run in runs.listing(db, WHOLE, state="queued", limit=100)]

    def play(self, outcome: Callable[[int], str] | str = "changed", *, version: str = "2.0") -> dict[int, str]:
        """Carry out every run that waits, as its process would; what became of each device.

        A device that was changed has the new version from then on.
        """
        found: dict[int, str] = {}
        self.take()
        while self.taken:
            run_id = self.taken.pop(0)
            with reading(self.engine) as db:
                hosts = run_hosts.hosts(db, WHOLE, run_id)
            of = {h.device_number: outcome if isinstance(outcome, str) else outcome(h.device_number) for h in hosts}
            changed = [number for number, how in of.items() if how in {"ok", "changed"}]
            if changed:
                self.hear(changed, agent_version=version)
            with writing(self.engine) as db:
                progress = [Progress(device_number=n, state="ended", outcome=how) for n, how in of.items()]
                run_results.write(db, run_id, Batch(hosts=progress), now=self.clock.at)
                good = all(how in {"ok", "changed"} for how in of.values())
                run_queue.finish(db, run_id, 1, outcome="ok" if good else "failed", now=self.clock.at)
            self.begun += [(run_id, number) for number in of]
            found |= of
        return found

    def take(self) -> None:
        """Every run that waits gets its process; `play` carries it out."""
        with writing(self.engine) as db:
            while (run_id := run_queue.take(db, now=self.clock.at)) is not None:
                self.taken.append(run_id)

    def roll(self, id_: int, *, minutes: float = 120, outcome: Callable[[int], str] | str = "changed") -> Detail:
        """Let time pass in steps of half a minute until it is over, stopped or paused, or so long has passed."""
        for _ in range(int(minutes * 2)):
            self.turn(30.0)
            self.play(outcome)
            found = self.detail(id_)
            if found.ended_at is not None or found.state in {"stopped", "paused"}:
                return found
        return self.detail(id_)


def _home(path: Path, engine: Engine) -> Home:
    home = path / "home"
    home.mkdir(exist_ok=True)
    (path / "library").mkdir(exist_ok=True)
    (home / "controller.toml").write_text(
        f'playbooks_dir = "{path / "library"}"\ndatabase_url = "{engine.url.render_as_string(hide_password=False)}"\n'
    )
    return settings.load(home)
