"""`annexfleet signer`, the process that signs, and `annexfleet keys`: the keys with which it does."""

import argparse
import logging
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from annexfleet_controller.cli import exits, lock
from annexfleet_controller.cli.exits import NotReady
from annexfleet_controller.cli.opened import console_user, opened
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.settings import Home

log = logging.getLogger(__name__)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    signer = commands.add_parser("signer", help="only what signs runs and commands for devices")
    signer.set_defaults(run=_signer, log_name="signer")
    keys = commands.add_parser("keys", help="the keys that devices obey: show them, or replace them")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("show", help="which keys devices obey, and whether the signer answers").set_defaults(run=_show)
    rotate = actions.add_parser(
        "rotate",
        help="make a new key and drop the old ones",
        description="Devices learn of the new key with the next run or command, or when they renew their certificate; "
        "nobody has to visit them. What the old keys signed is then refused. Runs that have begun go on.",
    )
    rotate.add_argument("--root-key", type=Path, metavar="FILE", help="the root's key, where it is kept elsewhere")
    rotate.add_argument("--keep-old", action="store_true", help="leave the old keys in force, for other signers")
    rotate.add_argument("--now", action="store_true", help="without asking")
    rotate.set_defaults(run=_rotate)


def ensure_keys(home: Home) -> None:
    """The command keys, made when missing.  What is wrong with them is said, and all else goes on without."""
    from annexfleet_controller.identity import signing

    try:
        signing.ensure(home)
    except signing.SigningBroken as error:
        log.error("no run and no command can be signed reason=%s", error)  # noqa: TRY400  # a sentence for a person


def _signer(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.identity import signer_service

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with lock.held(home.path, "signer"):
        signer_service.run(home, stop)
    return exits.DONE


def _show(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.identity import signer, signing
    from annexfleet_controller.identity.certificates import key_digest, public_key

    found = signing.load(home)
    print(f"root     {key_digest(public_key(found.root))} (SHA-256 of its public key)")
    print(f"version  {found.keys.version} ({datetime.fromtimestamp(found.keys.version, UTC):%Y-%m-%d %H:%M} UTC)")
    for key in found.keys.keys:
        here = "signs here" if key.id == found.key_id else ""
        print(f"key      {key.id}  {', '.join(key.classes):12}  {here}".rstrip())
    try:
        status = signer.status(home)
    except signer.SignerAway as error:
        print(f"signer   {error}")
    else:
        print(
            f"signer   answers, with version {status.keys_version}" + (f": {status.problem}" if status.problem else "")
        )
    return exits.DONE


def _rotate(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.identity import signing

    if not args.now:
        _demand_leave(keep_old=args.keep_old)
    made = signing.rotate(home, SYSTEM.now(), root_key=args.root_key, keep_old=args.keep_old)
    _note(home, made.key_id, made.keys.version, keep_old=args.keep_old)
    dropped = "The old keys stay in force." if args.keep_old else "The old keys are dropped."
    print(f"Version {made.keys.version} is in force; key {made.key_id} signs from now on. {dropped}")
    return exits.DONE


def _note(home: Home, key_id: str, version: int, *, keep_old: bool) -> None:
    """Into the audit.  Keys that leaked must be replaced also while the database is away."""
    from annexfleet_controller.store import audit

    try:
        with opened(home) as db:
            audit.add(
                db, now=SYSTEM.now(), actor=console_user(), via="console", act="keys.rotate",
                subject=f"keys:{key_id}", facts={"version": version, "keep_old": keep_old},
            )  # fmt: skip
    except NotReady as error:
        print(f"annexfleet: the keys are new, and the audit does not say so: {error}", file=sys.stderr)


def _demand_leave(*, keep_old: bool) -> None:
    if not sys.stdin.isatty():
        raise NotReady("This replaces the keys that all devices obey: add --now to do it without being asked.")
    old = "stay in force" if keep_old else "are dropped: other signers that use them can sign nothing any more"
    answer = input(f"A new key will sign; the old ones {old}. Type yes to go on: ")
    if answer.strip().lower() != "yes":
        raise NotReady("Nothing was changed.")
