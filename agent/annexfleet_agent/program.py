"""The resident program: one device with this machine's collectors, identity and settings, until it is told to stop.

What is imported here stays in memory for months, so it is little: see tests/agent/test_footprint.py.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from annexfleet_agent import collectors, identity, lean
from annexfleet_agent.boot import boot_id
from annexfleet_agent.collectors import agent as agent_collector
from annexfleet_agent.collectors import inventory
from annexfleet_agent.collectors.report import Collector
from annexfleet_agent.device import LONGEST_WATCH_S, AgentCore
from annexfleet_agent.forwarding import Forwarding, Ways
from annexfleet_agent.loop import Loop
from annexfleet_agent.outbox import Outbox, OutboxBusy
from annexfleet_agent.protocol.messages import Value
from annexfleet_agent.queues.push import PushBoard, PushServer
from annexfleet_agent.settings import Settings

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_NOT_ENROLLED = 3
EXIT_ALREADY_RUNNING = 4


class RenewalFailed(Exception):
    """The child that renews the certificate ended with an error; what it was stands in the log."""


def run(settings: Settings, settings_path: Path | None) -> int:
    """Run until SIGTERM or SIGINT; the exit code.  Raises queues.BadSource for a queue that cannot be."""
    lean.use_one_arena()
    logging.basicConfig(
        level=settings.agent.log_level.upper(), format="%(levelname)s %(message)s", stream=sys.stderr, force=True
    )
    try:
        found = identity.load(settings.identity_dir)
    except identity.IdentityBroken as error:
        log.error("%s", error)  # noqa: TRY400  # the sentence is for a person, who has no use for a trace
        return EXIT_NOT_ENROLLED
    if found is None:
        log.error(
            "this device is not enrolled, %s holds nothing: run `annexfleet-agent enrol -` and paste a token",
            settings.identity_dir,
        )
        return EXIT_NOT_ENROLLED
    boot = boot_id()
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        outbox = Outbox(
            settings.state_dir / "outbox.db",
            max_bytes=settings.agent.outbox_max_bytes,
            boot_id=boot,
            owner=found.device_id,
        )
    except OutboxBusy:
        log.error("another agent runs on %s", settings.state_dir)  # noqa: TRY400
        return EXIT_ALREADY_RUNNING
    except OSError as error:
        log.error("%s: %s", error.filename or settings.state_dir, error.strerror)  # noqa: TRY400
        return EXIT_FAILED
    loop = Loop()
    board = PushBoard(loop.clock) if settings.push.port else None
    core = _core(loop, settings, settings_path, found=found, outbox=outbox, board=board, boot=boot)
    server = _push_server(loop, settings, board)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: loop.stop())
    core.start()
    log.info("started device=%s broker=%s:%s", found.device_id, found.broker_host, found.broker_port)
    loop.run()
    log.info("stopping")
    if server is not None:
        server.close()
    core.stop()
    loop.close()
    return EXIT_OK


def _core(
    loop: Loop,
    settings: Settings,
    settings_path: Path | None,
    *,
    found: identity.Identity,
    outbox: Outbox,
    board: PushBoard | None,
    boot: str,
) -> AgentCore:
    def current_identity() -> identity.Identity:
        now = identity.load(settings.identity_dir)
        if now is None or now.device_id != found.device_id:
            raise identity.IdentityBroken("this device was enrolled anew: restart the agent")
        owes_key = settings.runner_is_possible and identity.owes_exchange_key(
            now, settings.runner_dir, is_own=settings.runner_is_own
        )
        return msgspec.structs.replace(
            now,
            broker_host=settings.connection.broker_host or now.broker_host,
            broker_port=settings.connection.broker_port or now.broker_port,
            # A renewal tells the controller the runner's key: due at once, whatever the certificate's age.
            renew_at=0.0 if owes_key else now.renew_at,
        )

    def all_collectors(core: AgentCore) -> Sequence[Collector]:
        own = agent_collector.collector(
            outbox_used_ratio=core.outbox_used_ratio,
            outbox_oldest_age_seconds=core.outbox_oldest_age_seconds,
            config_version=core.config_version,
            envelopes_refused=core.forwarding.refused_today if core.forwarding is not None else None,
            clock=loop.clock,
        )
        return collectors.all_of(
            settings,
            loop.clock,
            extra=(own,),
            desired_portals=core.desired_portals,
            probed_elsewhere=core.probed_elsewhere,
            pushed=board,
            heals=True,
        )

    def take(printers: Sequence[dict[str, Value]]) -> inventory.Taken:
        return inventory.take(printers=printers)

    return AgentCore(
        loop,
        settings,
        device_id=found.device_id,
        identity=current_identity,
        outbox=outbox,
        collectors=all_collectors,
        state_dir=settings.state_dir,
        boot_id=boot,
        inventory=take,
        renew=lambda: renew_in_child(settings_path),
        forwarding=(lambda core: _forwarding(loop, settings, settings_path, core)) if _may_run(settings) else None,
    )


def _may_run(settings: Settings) -> bool:
    return settings.runner.enabled and hasattr(socket, "AF_UNIX") and hasattr(os, "posix_spawn")


def _forwarding(loop: Loop, settings: Settings, settings_path: Path | None, core: AgentCore) -> Forwarding:
    made = Forwarding(
        loop,
        settings.runner_socket,
        Ways(
            publish=core.uplink.publish_run,
            has_room=lambda: core.uplink.has_room,
            keep=core.keep_receipt,
            worked=core.worked,
            watch=lambda seconds: core.watch(min(seconds, LONGEST_WATCH_S)),
            # A runner of root's is systemd's to start: what this process starts can do no more than it can itself.
            start=(lambda: start_runner(settings_path)) if settings.runner_is_own else None,
        ),
    )
    made.listen_to(core.uplink)
    return made


def start_runner(settings_path: Path | None) -> int:
    """Start a runner in a session of its own; its process id.  It says what it has to say into this program's log."""
    arguments = [sys.executable, "-m", "annexfleet_agent.runner"]
    if settings_path is not None:
        arguments += ["--settings", str(settings_path)]
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        return os.posix_spawn(
            sys.executable, arguments, os.environ, setsid=True, file_actions=[(os.POSIX_SPAWN_DUP2, nothing, 0)]
        )
    finally:
        os.close(nothing)


def _push_server(loop: Loop, settings: Settings, board: PushBoard | None) -> PushServer | None:
    if board is None:
        return None
    from annexfleet_agent.queues import token  # noqa: PLC0415  # only where something is pushed

    try:
        return PushServer(loop, board, settings.push.port, token.read_or_make(settings))
    except (OSError, ValueError) as error:
        log.error("no queue figures can be pushed: the token cannot be read or made error=%s", error)  # noqa: TRY400
        return None


def renew_in_child(settings_path: Path | None) -> None:
    """Renew the certificate in a process of its own, which may import what is heavy.  Raises RenewalFailed."""
    arguments = [sys.executable, "-m", "annexfleet_agent"]
    if settings_path is not None:
        arguments += ["--settings", str(settings_path)]
    arguments.append("renew")
    # Not subprocess: 2.4 MiB for a call a month.
    if hasattr(os, "posix_spawn"):
        pid = os.posix_spawn(sys.executable, arguments, os.environ)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    else:
        code = os.spawnv(os.P_WAIT, sys.executable, arguments)  # type: ignore[attr-defined, unused-ignore]  # noqa: S606
    if code != 0:
        raise RenewalFailed(f"annexfleet-agent renew ended with {code}")
