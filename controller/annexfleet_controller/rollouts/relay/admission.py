"""Which devices a caller may reach: those of the relay's run, while it lasts.

What is known here is at most a second old; the signer looks everything up once more before it signs.
"""

import logging
import pwd
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from sqlalchemy import Engine

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import RunUnknown
from annexfleet_controller.rollouts.relay import words
from annexfleet_controller.rollouts.relay.background import Background
from annexfleet_controller.rollouts.relay.callers import Caller, command_line, program_of, started_at
from annexfleet_controller.store import audit, relaying
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.relaying import HostNow, RunNow, TakenBy

log = logging.getLogger(__name__)

REFRESH_EVERY_S = 1.0
SEEN_EVERY_S = 30.0
CONSOLE_OUTCOME = "unknown"
"""Of a run of the console: what Ansible made of it, only Ansible has said."""


class Admitted(Struct, frozen=True):
    run_id: int
    host: HostNow


class Denied(Struct, frozen=True):
    why: str


Answer = Admitted | Denied
Over = Callable[[int, str | None, str], object]
"""Told when a run, or one device's part in it (by id; None: all), is over, and why."""


class Admission:
    """What both kinds have in common."""

    def __init__(self, engine: Engine, background: Background, over: Over, clock: Clock = SYSTEM) -> None:
        self._engine = engine
        self._background = background
        self._over = over
        self._clock = clock
        self._runs: dict[int, tuple[RunNow, dict[str, HostNow]]] = {}
        self._refreshed_at = 0.0
        self._refreshing = False

    def admit(self, caller: Caller, device_id: str, reply: Callable[[Answer], object]) -> None:
        """Whether this caller may reach this device; `reply` is called now or soon."""
        raise NotImplementedError

    def close(self) -> None:
        """The relay ends."""

    def tick(self, now: float) -> None:
        if self._runs and not self._refreshing and now - self._refreshed_at >= REFRESH_EVERY_S:
            self._refreshing, self._refreshed_at = True, now
            run_ids = list(self._runs)
            self._background.ask(lambda: self._look(run_ids), self._refreshed, self._not_refreshed)

    def host(self, run_id: int, device_id: str) -> HostNow | None:
        """What was known a second ago."""
        found = self._runs.get(run_id)
        return None if found is None else found[1].get(device_id)

    def _look(self, run_ids: list[int]) -> dict[int, tuple[RunNow, dict[str, HostNow]]]:
        found = {}
        with reading(self._engine) as db:
            for run_id in run_ids:
                run = relaying.run(db, run_id)
                found[run_id] = (run or RunNow("", "ended", False), relaying.hosts(db, run_id))
        return found

    def _refreshed(self, found: dict[int, tuple[RunNow, dict[str, HostNow]]]) -> None:
        self._refreshing = False
        for run_id, (run, hosts) in found.items():
            before = self._runs.get(run_id)
            if before is None:
                continue  # it ended meanwhile
            self._runs[run_id] = (run, {**before[1], **hosts})
            if (why := _over(run)) and not _over(before[0]):
                self._over(run_id, None, why)
            for device_id, host in hosts.items():
                had = before[1].get(device_id)
                if had is not None and (why := _shut(host)) and not _shut(had):
                    self._over(run_id, device_id, why)

    def _not_refreshed(self) -> None:
        self._refreshing = False  # what was known counts on; the signer looks for itself

    def _judge(self, run_id: int, device_id: str) -> Answer:
        run, hosts = self._runs[run_id]
        host = hosts.get(device_id)
        if host is None:
            return Denied(words.FOREIGN)
        why = _over(run) or _shut(host)
        return Denied(why) if why else Admitted(run_id, host)


class RunAdmission(Admission):
    """Of `annexfleet relay --run ID`."""

    def __init__(self, engine: Engine, background: Background, over: Over, run_id: int, clock: Clock = SYSTEM) -> None:
        """Raises RunUnknown."""
        super().__init__(engine, background, over, clock)
        self._run_id = run_id
        found = self._look([run_id])
        if not found[run_id][0].kind:
            raise RunUnknown(f"there is no run {run_id}")
        self._runs = found

    def admit(self, caller: Caller, device_id: str, reply: Callable[[Answer], object]) -> None:
        reply(self._judge(self._run_id, device_id))


class _Console:
    """One ansible process at the console."""

    def __init__(self) -> None:
        self.run_id: int | None = None
        self.awaiting: list[tuple[str, Callable[[Answer], object]]] = []


class ConsoleAdmission(Admission):
    """Of `annexfleet relay` without a run: whoever may open its socket may reach every device that is not revoked."""

    def __init__(self, engine: Engine, background: Background, over: Over, clock: Clock = SYSTEM) -> None:
        """Ends what a relay before this one left behind."""
        super().__init__(engine, background, over, clock)
        self._consoles: dict[tuple[int, str], _Console] = {}
        self._checked_at = self._seen_at = 0.0
        with writing(engine) as db:
            for run_id in relaying.forgotten_consoles(db):
                relaying.end_console(db, run_id, outcome=CONSOLE_OUTCOME, now=clock.now())

    def admit(self, caller: Caller, device_id: str, reply: Callable[[Answer], object]) -> None:
        program = program_of(caller.pid)
        key = (program, started_at(program))
        console = self._consoles.get(key)
        if console is None:
            console = self._consoles[key] = _Console()
            author, playbook = _user(caller.uid), _playbook(command_line(program))
            self._background.ask(
                lambda: self._begin(author, playbook),
                lambda run: self._began(console, run),
                lambda: self._failed(key, console),
            )
        if console.run_id is None:
            console.awaiting.append((device_id, reply))
        elif self.host(console.run_id, device_id) is not None:
            reply(self._judge(console.run_id, device_id))
        else:
            self._join(console.run_id, device_id, reply)

    def tick(self, now: float) -> None:
        super().tick(now)
        if now - self._checked_at >= REFRESH_EVERY_S:
            self._checked_at = now
            for key in [key for key in self._consoles if started_at(key[0]) != key[1]]:
                self._end(self._consoles.pop(key))
        if self._runs and now - self._seen_at >= SEEN_EVERY_S:
            self._seen_at = now
            run_ids = list(self._runs)
            self._background.ask(lambda: self._note_seen(run_ids), lambda _: None, lambda: None)

    def close(self) -> None:
        for console in self._consoles.values():
            if console.run_id is not None:
                self._write_end(console.run_id)
        self._consoles.clear()

    def _begin(self, author: str, playbook: str) -> tuple[int, RunNow]:
        with writing(self._engine) as db:
            now = self._clock.now()
            run_id = relaying.begin_console(db, playbook=playbook, author=author, now=now)
            audit.add(
                db, now=now, actor=author, via="console", act="run.console", subject=f"run:{run_id}",
                facts={"playbook": playbook},
            )  # fmt: skip
        log.info("a run of the console begins run=%s author=%s playbook=%s", run_id, author, playbook)
        return run_id, RunNow(relaying.CONSOLE, "running", False)

    def _began(self, console: _Console, began: tuple[int, RunNow]) -> None:
        console.run_id, run = began
        self._runs[console.run_id] = (run, {})
        awaiting, console.awaiting = console.awaiting, []
        for device_id, reply in awaiting:
            self._join(console.run_id, device_id, reply)

    def _failed(self, key: tuple[int, str], console: _Console) -> None:
        self._consoles.pop(key, None)
        for _, reply in console.awaiting:
            reply(Denied(words.DATABASE))

    def _join(self, run_id: int, device_id: str, reply: Callable[[Answer], object]) -> None:
        def joined(found: HostNow | TakenBy | None) -> None:
            if found is None:
                reply(Denied(words.UNKNOWN))
            elif isinstance(found, TakenBy):
                reply(Denied(words.TAKEN.format(run=found.run_id)))
            elif run_id not in self._runs:
                reply(Denied(words.CANCELLED))
            else:
                run, hosts = self._runs[run_id]
                self._runs[run_id] = (run, {**hosts, device_id: found})
                reply(self._judge(run_id, device_id))

        self._background.ask(lambda: self._write_join(run_id, device_id), joined, lambda: reply(Denied(words.DATABASE)))

    def _write_join(self, run_id: int, device_id: str) -> HostNow | TakenBy | None:
        with writing(self._engine) as db:
            return relaying.join_console(db, run_id, device_id, now=self._clock.now())

    def _note_seen(self, run_ids: list[int]) -> None:
        with writing(self._engine) as db:
            relaying.note_seen(db, run_ids, now=self._clock.now())

    def _end(self, console: _Console) -> None:
        run_id = console.run_id
        if run_id is None:
            return
        self._runs.pop(run_id, None)
        self._over(run_id, None, words.CANCELLED)
        self._background.ask(lambda: self._write_end(run_id), lambda _: None, lambda: None)

    def _write_end(self, run_id: int) -> None:
        with writing(self._engine) as db:
            relaying.end_console(db, run_id, outcome=CONSOLE_OUTCOME, now=self._clock.now())
        log.info("a run of the console ended run=%s", run_id)


def _over(run: RunNow) -> str:
    """Why a run takes no more requests; empty if it does."""
    if run.is_cancelled:
        return words.CANCELLED
    return "" if run.state == "running" else words.RUN_OVER


def _shut(host: HostNow) -> str:
    """Why a device is not to be reached; empty if it is."""
    if host.is_revoked:
        return words.REVOKED
    return words.HOST_ENDED if host.state == "ended" else ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _playbook(command: list[str]) -> str:
    """What somebody runs: the playbook's name, or the program's."""
    names = [Path(word).name for word in command if word.endswith((".yml", ".yaml")) and not word.startswith("-")]
    playbooks = [name for name in names if not name.endswith((".annexfleet.yml", ".annexfleet.yaml"))]
    if playbooks:
        return playbooks[-1]
    programs = [Path(word).name for word in command[:3] if Path(word).name.startswith("ansible")]
    return programs[0] if programs else "ansible"
