"""One Ansible run, carried out: `annexfleet play RUN`, a process and a session of its own.

It outlives the worker that started it and the whole controller; whoever comes next finds it by the lock it holds, and
starts it anew for the devices without an outcome if it died.  This module alone knows ansible-runner.

Secrets reach Ansible by a file that is deleted as soon as it was read; what ansible-runner keeps of events it hands
over before it would write them down, and everything else is in a directory that goes with the run.
"""

import logging
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ansible_runner  # type: ignore[import-untyped]
from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.identity import files
from annexfleet_controller.rollouts import approved, environment, processes, written
from annexfleet_controller.rollouts.approved import NotAsApproved
from annexfleet_controller.rollouts.events import Story
from annexfleet_controller.rollouts.ground import Ground, Held
from annexfleet_controller.rollouts.masking import Mask
from annexfleet_controller.rollouts.recorder import BEAT_EVERY_S, Ending, Recorder, cancelled, keep
from annexfleet_controller.settings import Home
from annexfleet_controller.store import run_queue, run_results
from annexfleet_controller.store.database import open_database, writing
from annexfleet_controller.store.run_progress import Batch

log = logging.getLogger(__name__)

DONE, FAILED, TAKEN = 0, 1, 4
RELAY_WITHIN_S = 30.0
_RELAY_ENDS_WITHIN_S = 3.0
_KILLED_WITHIN_S = 5.0
_RECORDED_WITHIN_S = 600.0
_PAUSE_S = 0.05


class Link(Struct, frozen=True, kw_only=True):
    """How Ansible reaches devices."""

    relay: Callable[[Home, int], list[str]] | None
    """The command of the relay; None: there is none."""
    host_variables: Mapping[str, Any] = {}
    """Laid over those of every host."""


def _relay_command(home: Home, run_id: int) -> list[str]:
    return [
        sys.executable, "-m", "annexfleet_controller", "--home", str(home.path), "--logs", str(home.path / "logs"),
        "relay", "--run", str(run_id),
    ]  # fmt: skip


FLEET = Link(relay=_relay_command)


def carry_out(home: Home, run_id: int, attempt: int, *, link: Link = FLEET, clock: Clock = SYSTEM) -> int:
    """Carry out one attempt at a run, to its end; an exit code.

    FAILED leaves the run as it is, for the next attempt; TAKEN: another process carries it out.
    """
    ground = Ground(home, run_id)
    engine = open_database(home.database_url)
    try:
        with ground.held():
            return _Play(home, engine, ground, attempt=attempt, link=link, clock=clock).carry_out()
    except Held:
        return TAKEN
    finally:
        engine.dispose()


class _Play:
    def __init__(
        self, home: Home, engine: Engine, ground: Ground, *, attempt: int, link: Link, clock: Clock
    ) -> None:  # fmt: skip
        self._home = home
        self._engine = engine
        self._ground = ground
        self._run_id = ground.run_id
        self._attempt = attempt
        self._link = link
        self._clock = clock
        self._relay: subprocess.Popen[bytes] | None = None

    def carry_out(self) -> int:
        processes.adopt_orphans()
        # What a killed attempt left behind must not work beside this one.
        processes.kill(lambda: processes.marked(self._ground.directory), within_s=_KILLED_WITHIN_S)
        with writing(self._engine) as db:
            if run_queue.beat(db, self._run_id, self._attempt, now=self._clock.now()) is None:
                log.info("a run is no longer this attempt's run=%s attempt=%s", self._run_id, self._attempt)
                return TAKEN
        log.info("run begins run=%s attempt=%s", self._run_id, self._attempt)
        try:
            task = approved.gather(self._home, self._engine, self._ground, now=self._clock.now())
        except NotAsApproved as error:
            log.warning("run refused run=%s reason=%s", self._run_id, error.problem)
            return self._refuse(error.problem)
        if not task.hosts:
            return self._finish(Batch(), "", None)
        if not self._begin_relay():
            self._end_relay()
            return self._refuse("relay_down")
        try:
            unwritten, ending, story = self._play(task)
        finally:
            self._end_relay()
        return self._finish(unwritten, ending, story)

    # -- the relay

    def _begin_relay(self) -> bool:
        """Start the run's own relay beside it; False where it does not come up."""
        if self._link.relay is None:
            return True
        self._start_relay(self._link.relay)
        assert self._relay is not None
        deadline, beat_at = self._clock.mono() + RELAY_WITHIN_S, self._clock.mono()
        while not _listens(self._ground.relay_socket):
            if self._relay.poll() is not None or self._clock.mono() > deadline:
                return False
            if self._clock.mono() >= beat_at:  # a worker of another machine would think us dead before the relay is up
                beat_at += BEAT_EVERY_S
                with writing(self._engine) as db:
                    run_queue.beat(db, self._run_id, self._attempt, now=self._clock.now())
            time.sleep(_PAUSE_S)
        return True

    def _start_relay(self, command: Callable[[Home, int], list[str]]) -> None:
        self._ground.relay_socket.unlink(missing_ok=True)
        self._relay = subprocess.Popen(  # noqa: S603  # our own command
            command(self._home, self._run_id), stdin=subprocess.DEVNULL,
            env={**os.environ, processes.MARK: str(self._ground.directory)},
            preexec_fn=processes.end_with_parent,  # noqa: PLW1509  # it makes one system call and no more
        )  # fmt: skip

    def _tend_relay(self) -> None:
        """A relay that fell is started again: tasks to come find it, and only those that it carried are lost."""
        if self._link.relay is not None and self._relay is not None and self._relay.poll() is not None:
            log.warning("the relay of a run fell run=%s code=%s", self._run_id, self._relay.returncode)
            self._start_relay(self._link.relay)

    def _end_relay(self) -> None:
        """It tells the devices to end what still runs there, and then ends itself."""
        if self._relay is None:
            return
        self._relay.terminate()
        try:
            self._relay.wait(_RELAY_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._relay.kill()
            self._relay.wait()
        self._relay = None

    # -- Ansible

    def _play(self, task: approved.Approved) -> tuple[Batch, Ending, Story]:
        """Let Ansible do it; what is not written yet, why it was ended from outside, and the story of it."""
        nonce = secrets.randbits(62)
        story = Story(
            {host.device_id: (host.number, (host.device_id, host.name)) for host in task.hosts},
            nonce=nonce, check=task.run.check, mask=Mask(task.secrets.values()), known=task.known_tasks,
        )  # fmt: skip
        credentials = approved.credentials(self._home, self._ground, task, now=self._clock.now())

        def renew() -> None:
            if credentials is not None:
                credentials.renew(self._clock.now())

        recorder = Recorder(
            self._engine, story, run_id=self._run_id, attempt=self._attempt, clock=self._clock, end=self._end_all,
            deadline=(task.run.started_at or self._clock.now()) + timedelta(seconds=task.run.timeout_s),
            renew=renew, tend=self._tend_relay,
        )  # fmt: skip
        secrets_file = self._write_files(task, credentials)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: recorder.end("stopped"))
        recorder.start()
        try:
            self._run_ansible(task, recorder, secrets_file, nonce)
        finally:
            secrets_file.unlink(missing_ok=True)
            # Also what Ansible left running by itself; nothing of a run outlives it.
            processes.kill(self._descendants, within_s=_KILLED_WITHIN_S)
            unwritten = recorder.stop()
        return _joined(unwritten), recorder.ending, story

    def _write_files(self, task: approved.Approved, credentials: Any) -> Path:
        attempt = self._ground.attempt
        hosts = {
            host.device_id: {
                **host.variables, **(credentials.variables(host.device_id) if credentials and host.is_ssh else {}),
                **self._link.host_variables,
            }
            for host in task.hosts
        }  # fmt: skip
        inventory = written.inventory(hosts, task.groups)
        files.write(attempt / "hosts.yml", inventory.encode())
        approved.prove(attempt / "hosts.yml", [host.device_id for host in task.hosts])
        files.write(attempt / "variables.yml", written.document(dict(task.run.variables)).encode())
        secrets_file = attempt / "secrets.yml"
        files.write(secrets_file, written.document(task.secrets).encode())
        environment.write_places(self._ground)
        return secrets_file

    def _run_ansible(self, task: approved.Approved, recorder: Recorder, secrets_file: Path, nonce: int) -> None:
        attempt = self._ground.attempt
        arguments = ["-e", f"@{attempt / 'variables.yml'}", "-e", f"@{secrets_file}"]
        if task.run.check:
            arguments += ["--check", "--diff"]

        def hear(event: dict[str, Any]) -> bool:
            if event.get("event") == "playbook_on_start":
                secrets_file.unlink(missing_ok=True)  # Ansible has read its variables by then
            recorder.hear(event)
            return False  # nothing of it is to be written to a file

        try:
            runner = ansible_runner.interface.init_runner(
                private_data_dir=str(attempt), project_dir=str(self._ground.bundle), ident="events",
                playbook=f"{task.run.playbook}.yml", inventory=str(attempt / "hosts.yml"),
                cmdline=shlex.join(arguments), suppress_env_files=True, fact_cache_type="memory", quiet=True,
                event_handler=hear, cancel_callback=lambda: bool(recorder.ending),
            )  # fmt: skip
            runner.config.env = environment.of_ansible(
                runner.config.env, ground=self._ground, forks=task.run.forks, hosts=len(task.hosts), nonce=nonce
            )
            runner.run()
        except Exception:  # the fence: whatever ansible-runner trips over, the run ends with what is known
            log.exception("ansible-runner failed run=%s", self._run_id)

    def _descendants(self) -> set[int]:
        relay = self._relay.pid if self._relay else 0
        below = processes.descendants(os.getpid()) | processes.marked(self._ground.directory)
        return below - {relay} - (processes.descendants(relay) if relay else set())

    def _end_all(self) -> None:
        """End Ansible with all its workers; the relay sees their ends of its socket close and tells the devices."""
        if not processes.kill(self._descendants, within_s=_KILLED_WITHIN_S):
            log.error("processes of a run do not end run=%s", self._run_id)

    # -- the end

    def _refuse(self, problem: str) -> int:
        """End a run before anything was done in this attempt."""
        rest = "skipped" if self._attempt == 1 else "unknown"
        self._recorded(
            lambda db, now: run_queue.finish(
                db, self._run_id, self._attempt, outcome="failed", problem=problem, rest=rest, now=now
            )
        )
        self._ground.remove()
        return DONE

    def _finish(self, batch: Batch, ending: Ending, story: Story | None) -> int:
        if ending == "lost" or (ending == "stopped" and not (story and story.has_statistics)):
            log.info("run left to another process run=%s reason=%s", self._run_id, ending)
            return FAILED

        def finish(db: Any, now: datetime) -> bool:
            if not run_queue.is_ours(db, self._run_id, self._attempt):
                return False
            is_cancelled = bool(run_queue.asked(db, self._run_id, self._attempt))
            keep(db, self._run_id, cancelled(batch) if is_cancelled else batch, now=now)
            outcomes = run_results.outcomes(db, self._run_id)
            verdict = approved.verdict(ending, story, outcomes, is_cancelled=is_cancelled)
            return run_queue.finish(
                db, self._run_id, self._attempt, outcome=verdict.outcome, problem=verdict.problem, rest=verdict.rest,
                message=verdict.message, now=now,
            )  # fmt: skip

        if self._recorded(finish):
            log.info("run ended run=%s", self._run_id)
        self._ground.remove()
        return DONE

    def _recorded(self, work: Callable[[Any, datetime], bool]) -> bool:
        """Write the end down, however long the database takes to come back."""
        deadline = self._clock.mono() + _RECORDED_WITHIN_S
        while True:
            try:
                with writing(self._engine) as db:
                    return work(db, self._clock.now())
            except SQLAlchemyError as error:
                log.warning("the end of a run waits, the database fails run=%s reason=%s", self._run_id, error)
                if self._clock.mono() > deadline:
                    raise
                time.sleep(1.0)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _joined(batches: list[Batch]) -> Batch:
    """Several batches as one; of what stands in more than one the newest counts."""
    return Batch(
        tasks=list({task.number: task for batch in batches for task in batch.tasks}.values()),
        results=[result for batch in batches for result in batch.results],
        hosts=list({host.device_number: host for batch in batches for host in batch.hosts}.values()),
        diffs={digest: text for batch in batches for digest, text in batch.diffs.items()},
    )
