"""What `deploy/up` and `deploy/down` do once the packages are installed; run with the home's own Python.

Each step looks first and does only what is missing, so a second `up` changes nothing.  The processes in the background
are `annexfleet serve`, `annexfleet-agent run` and, with --demo, `annexfleet simulate`; each can be started by hand too.
"""

import argparse
import contextlib
import io
import os
import secrets
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from sqlalchemy.orm import Session

import processes
from annexfleet_agent import enrolment, identity
from annexfleet_controller import settings
from annexfleet_controller.__main__ import main as annexfleet
from annexfleet_controller.cli import serve
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.settings import Home
from annexfleet_controller.store import annexes, database, fleet, people, scope

ADMIN = "admin"
OWN_ANNEX = ("annexe-locale", "Annexe locale (cette machine)", "الملحقة المحلية (هذا الجهاز)")
WITHIN_S = 60.0
DEMO_WITHIN_S = 90.0
DEMO_DEVICES = 40
DEMO = ("simulate", "--annexes", "3", "--devices", str(DEMO_DEVICES), "--history-days", "7", "--hour", "open")
STOPPED = (("simulate", "agent"), ("serve",))
"""What is stopped together, in order: devices say that they go while somebody listens."""
PORTS = {"web_port": "web_host", "enrol_port": "enrol_host", "broker_port": "broker_host"}
CUPS = Path("/run/cups/cups.sock")


class Failed(Exception):
    """A step that could not be done; the message is for the person at the keyboard."""


class Up:
    """`deploy/up`, step by step, with a line of progress for each."""

    def __init__(self, spent_s: float) -> None:
        self._began = time.monotonic() - spent_s
        self.home = Home(settings.default_home(), settings.Settings())
        self.first_password = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        print(f"[{self.seconds:3.0f}s] {text}", flush=True)

    def run(self, *, demo: bool, foreground: bool) -> int:
        self.choose_ports()
        self.prepare()
        self.start_controller()
        self.start_agent()
        if demo:
            self.start_demo()
        self.greet()
        return stay(self.home) if foreground else 0

    def choose_ports(self) -> None:
        """At the first start pass over ports that are taken, and write the choice down: devices learn the broker's
        port when they enrol, so later it must stay."""
        file = self.home.path / "controller.toml"
        if not file.exists():
            wanted = settings.load(self.home.path).settings
            lines = ["# Settings of the controller; each can be left out.  controller/README.md lists them.\n"]
            chosen: set[int] = set()
            for key, host_key in PORTS.items():
                first = port = getattr(wanted, key)
                while port in chosen or not serve.is_free(getattr(wanted, host_key), port):
                    port += 1
                chosen.add(port)
                lines.append(f"{key} = {port}\n")
                if port != first:
                    self.say(f"port {first} is taken by another program: {key} is {port}")
            file.write_text("".join(lines), encoding="utf-8")
        self.home = settings.load(self.home.path)

    def prepare(self) -> None:
        """Database, the first administrator and the first annex."""
        ask("migrate")
        with reading(self.home) as db:
            has_people, has_annex = bool(people.everybody(db)), bool(annexes.listing(db, limit=1))
        if not has_people:
            self.say("making the database and the first administrator")
            self.first_password = ask("user", "create", ADMIN, "--role", "admin")
        if not has_annex:
            annex_id, french, arabic = OWN_ANNEX
            ask("annex", "create", annex_id, "--name-fr", french, "--name-ar", arabic)

    def start_controller(self) -> None:
        if self.runs("serve"):
            self.say("broker and controller are running")
        else:
            self.say("starting broker and controller")
        process = self.start("serve", "annexfleet_controller", "--logs", logs(self.home), "serve", "--with-broker")
        self.wait(lambda: answers(f"{address(self.home)}/readyz"), process, "serve")

    def start_agent(self) -> None:
        """Enrol this machine, start its agent, and wait for its first report."""
        directory = self.home.path / "agent"
        config = directory / "agent.toml"
        if not config.exists():
            directory.mkdir(mode=0o700, exist_ok=True)
            config.write_text(agent_toml(self.home, directory), encoding="utf-8")
        if identity.load(directory / "identity") is None:
            self.say("enrolling this machine")
            with reading(self.home) as db:
                annex = annexes.listing(db, limit=1)[0].id
            token = ask("token", "create", "--annex", annex, "--role", "server", "--hours", "1", "--by", "deploy/up")
            if enrolment.main_enrol(token, state_dir=directory, name=socket.gethostname(), role="server") != 0:
                raise Failed("This machine could not be enrolled; the message above says why.")
        if not self.runs("agent"):
            self.say("starting this machine's agent, waiting for its first report")
        process = self.start("agent", "annexfleet_agent", "--settings", str(config), "run")
        own = identity.load(directory / "identity")
        assert own is not None
        self.wait(lambda: has_reported(self.home, own.device_id), process, "agent")

    def start_demo(self) -> None:
        if not self.runs("simulate"):
            self.say(f"starting the simulated province: {DEMO_DEVICES} devices with a week behind them")
        process = self.start("simulate", "annexfleet_controller", "--logs", logs(self.home), *DEMO)
        self.wait(lambda: online(self.home) > DEMO_DEVICES, process, "simulate", within_s=DEMO_WITHIN_S)

    def runs(self, name: str) -> bool:
        return processes.find(self.home.path / "run", name) is not None

    def start(self, name: str, module: str, *arguments: str) -> psutil.Process:
        argv = [sys.executable, "-m", module, *arguments]
        env = {**os.environ, "ANNEXFLEET_HOME": str(self.home.path), "PYTHONUNBUFFERED": "1"}
        return processes.start(self.home.path / "run", name, argv, log_file(self.home, name), env)

    def wait(
        self, happened: Callable[[], bool], process: psutil.Process, name: str, *, within_s: float = WITHIN_S
    ) -> None:
        """Raises Failed, with the end of the log, if the process ends first or it takes too long."""
        deadline = time.monotonic() + within_s
        while not happened():
            gone = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
            if gone or time.monotonic() > deadline:
                why = "ended" if gone else f"is not ready after {within_s:.0f} s"
                raise Failed(
                    f"{name} {why}.  The end of {log_file(self.home, name)}:\n{tail(log_file(self.home, name))}"
                )
            time.sleep(0.1)

    def greet(self) -> None:
        self.say("all is up")
        print(f"\n  Open          {address(self.home)}\n  Sign in as    {ADMIN}")
        if self.first_password:
            print(f"  Password      {self.first_password}   (once: you choose your own then)")
        else:
            print(f"  Password      yours; lost it?  {Path(sys.executable).parent / 'annexfleet'} user reset {ADMIN}")
        print(f"  Logs          {logs(self.home)}\n  Stop with     deploy/down\n", flush=True)


# -- what is looked up


def address(home: Home) -> str:
    host = home.settings.web_host if home.settings.web_host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    return f"http://{host}:{home.settings.web_port}"


def logs(home: Home) -> str:
    return str(home.path / "logs")


def log_file(home: Home, name: str) -> Path:
    return home.path / "logs" / f"{name}.out"


def tail(file: Path, lines: int = 12) -> str:
    return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def reading(home: Home) -> Iterator[Session]:
    engine = database.open_database(home.database_url)
    try:
        with database.reading(engine) as db:
            yield db
    finally:
        engine.dispose()


def has_reported(home: Home, device_id: str) -> bool:
    """Whether the device is connected and told something of itself."""
    with reading(home) as db:
        row = fleet.device(db, scope.WHOLE, device_id)
        return row.connected and bool(fleet.known(db, [row])[row.number].readings)


def online(home: Home) -> int:
    with reading(home) as db:
        return sum(counts.online for counts in annexes.counts(db, scope.WHOLE, now=SYSTEM.now()).values())


def ask(*argv: str) -> str:
    """What a command of `annexfleet` prints.  Raises Failed; its message is on stderr already."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = annexfleet(argv)
    if code != 0:
        raise Failed(f"annexfleet {' '.join(argv[:2])} did not work (exit code {code}).")
    return printed.getvalue().strip()


def agent_toml(home: Home, directory: Path) -> str:
    """Settings for this machine's own agent: its print server if it has one, a queue that is pushed to, and a check of
    its own controller as the portal."""
    push_port = 8900
    while not serve.is_free("127.0.0.1", push_port):
        push_port += 1
    (directory / "push.token").write_text(secrets.token_urlsafe(24), encoding="ascii")
    (directory / "push.token").chmod(0o600)
    return f"""# Settings of this machine's agent, written by deploy/up once; agent/README.md lists them all.
[agent]
state_dir = "{directory}"

[printing]
cups = "{CUPS if CUPS.exists() else ""}"

# People waiting: annexfleet-agent queue set guichet --waiting 4
[push]
port = {push_port}

[[queue]]
service = "guichet"
source = "push"

[[portal]]
name = "controller"
url = "{address(home)}/healthz"
"""


# -- staying and stopping


def stay(home: Home) -> int:
    """Wait until interrupted or terminated, then stop everything."""
    print("Running in the foreground; Ctrl-C stops everything.", flush=True)
    wanted = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    while processes.find(home.path / "run", "serve") is not None:
        if signal.sigtimedwait(wanted, 2.0) is not None:
            return down(home)
    print(f"annexfleet serve ended; see {log_file(home, 'serve')}", file=sys.stderr)
    down(home)
    return 1


def down(home: Home) -> int:
    stopped = [name for together in STOPPED for name in processes.stop(home.path / "run", *together)]
    print(f"Stopped: {', '.join(stopped)}." if stopped else f"Nothing is running on {home.path}.", flush=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy/up", description="Start a working province in small on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down")
    up = commands.add_parser("up", prog="deploy/up", description=parser.description)
    up.add_argument("--demo", action="store_true", help=f"add three simulated annexes with {DEMO_DEVICES} devices")
    up.add_argument("--foreground", action="store_true", help="stay attached; Ctrl-C stops everything")
    up.add_argument("--seconds-spent", type=float, default=0.0, help=argparse.SUPPRESS)
    commands.add_parser("down", prog="deploy/down")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.command == "down":
            return down(Home(settings.default_home(), settings.Settings()))
        return Up(args.seconds_spent).run(demo=args.demo, foreground=args.foreground)
    except KeyboardInterrupt:
        print(f"deploy/{args.command}: interrupted", file=sys.stderr)
        if args.command == "up" and args.foreground:
            down(Home(settings.default_home(), settings.Settings()))
        return 130
    except (Failed, AnnexfleetError, identity.IdentityBroken, OSError) as error:
        print(f"deploy/{args.command}: {error}\nWhat was started goes on; deploy/down stops it.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
