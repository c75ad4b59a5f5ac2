"""`annexfleet serve` and the processes it is made of, and on request the broker."""

import argparse
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from annexfleet_controller.cli import exits, lock, supervise
from annexfleet_controller.cli.exits import NotReady, PortTaken
from annexfleet_controller.cli.opened import opened_engine
from annexfleet_controller.garbage import settle
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from annexfleet_controller.cli import listening

log = logging.getLogger(__name__)

PARTS = ("signer", "web", "enrol", "ingest", "relay", "work")

ENROL_AT_ONCE = 512
ENROL_OF_AN_ADDRESS = 32
"""An annex stands behind one address; each of its devices has one connection for a second."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser("serve", help="run everything a province needs, until stopped")
    serve.add_argument("--with-broker", action="store_true", help="run mosquitto too, with the settings of this home")
    serve.set_defaults(run=_serve, log_name="serve")
    for name, run, help_ in (
        ("web", _web, "only the pages and the API (several may run)"),
        ("enrol", _enrol, "only the enrolment listener for new devices"),
        ("ingest", _ingest, "only what listens to the devices"),
        ("work", _work, "only the periodic jobs"),
    ):
        commands.add_parser(name, help=help_).set_defaults(run=run, log_name=name)


def _serve(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.cli.signing import ensure_keys
    from annexfleet_controller.identity import authority, broker

    with lock.held(home.path, "serve"):
        _demand_free_ports(home, with_broker=args.with_broker)
        with opened_engine(home):
            pass  # bring it up to date before anybody uses it
        authority.ensure(home, broker_names(home))
        ensure_keys(home)
        conf = broker.write(home)
        parts = [_part(home, name, args.logs) for name in PARTS]
        if args.with_broker:
            parts.insert(0, _broker_part(conf, args.logs))
        return supervise.run(parts)


def broker_names(home: Home) -> list[str]:
    """The names and addresses that certificates of this controller's services stand for."""
    names = [home.settings.broker_host, "localhost", "127.0.0.1", socket.gethostname()]
    return list(dict.fromkeys(name for name in names if name))


def _part(home: Home, name: str, logs_dir: Path | None) -> supervise.Part:
    argv = [sys.executable, "-m", "annexfleet_controller", "--home", str(home.path)]
    if logs_dir is not None:
        argv += ["--logs", str(logs_dir)]
    return supervise.Part(name, [*argv, name])


def _broker_part(conf: Path, logs_dir: Path | None) -> supervise.Part:
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        raise NotReady(
            "mosquitto is not installed: apt install mosquitto, or run your own broker without --with-broker"
        )
    return supervise.Part("broker", [program, "-c", str(conf)], log_file=logs_dir and logs_dir / "broker.log")


def _demand_free_ports(home: Home, *, with_broker: bool) -> None:
    settings = home.settings
    wanted = [("web", settings.web_host, settings.web_port), ("enrol", settings.enrol_host, settings.enrol_port)]
    if with_broker:
        wanted.append(("broker", settings.broker_host, settings.broker_port))
    for name, host, port in wanted:
        if not is_free(host, port):
            raise PortTaken(
                f"Port {port} is taken by another program. Stop that program, or set {name}_port "
                f"in {home.path / 'controller.toml'} (or ANNEXFLEET_{name.upper()}_PORT) to a free one."
            )


def is_free(host: str, port: int) -> bool:
    """Whether a listener could be opened there now.  True for a host that is not of this machine."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        return True  # the listener itself will say it better
    with socket.socket(family, kind, proto) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
            trial.listen(1)
        except OSError as error:
            return error.errno != 98  # EADDRINUSE
    return True


def _web(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.app import create_web
    from annexfleet_controller.cli import listening

    settings = home.settings
    app = create_web(home)
    config = listening.config(app, settings.web_host, settings.web_port, trusted_proxies=settings.trusted_proxies)
    return _listen(listening.Listener(config, app.state.hub.end_streams), "web")


def _enrol(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.cli import listening
    from annexfleet_controller.identity import authority
    from annexfleet_controller.identity.enrol_app import create_enrol

    certificate, key = authority.service_files(home)
    config = listening.config(
        create_enrol(home), home.settings.enrol_host, home.settings.enrol_port, certificate=certificate, key=key,
        most_at_once=ENROL_AT_ONCE, most_of_an_address=ENROL_OF_AN_ADDRESS,
    )  # fmt: skip
    return _listen(listening.Listener(config), "enrol")


def _listen(listener: "listening.Listener", name: str) -> int:
    host, port = listener.config.host, listener.config.port
    if not is_free(host, port):
        raise PortTaken(f"Port {port} is taken by another program; {name}_port in controller.toml chooses another one.")
    settle()
    listener.run()
    return exits.DONE


def _ingest(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.ingest import subscriber

    return _until_stopped(home, subscriber.run)


def _work(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller import work

    return _until_stopped(home, work.run)


def _until_stopped(home: Home, run: Callable[[Home, threading.Event], None]) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(home, stop)
    return exits.DONE
