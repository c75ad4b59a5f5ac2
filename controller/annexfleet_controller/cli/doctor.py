"""`annexfleet doctor`: looks at everything a controller stands on, and says how to mend what is wrong."""

import argparse
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from msgspec import Struct

from annexfleet_controller.cli import exits, serve
from annexfleet_controller.settings import Home

Level = Literal["ok", "warning", "wrong"]

LEAST_FREE_BYTES = 500_000_000
_EXPIRES_SOON = timedelta(days=30)
_UNPLANNED_LATELY = timedelta(minutes=10)
_CONNECT_S = 3.0
_SEQUENCE_AHEAD_S = 3600.0


class Check(Struct, frozen=True):
    """What was looked at, how it is, and what to do about it."""

    name: str
    level: Level
    found: str
    cure: str = ""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = commands.add_parser(
        "doctor", help="check database, broker, authority, ports and disk; exits 1 if one is wrong"
    )
    doctor.set_defaults(run=_doctor)


def _doctor(home: Home, args: argparse.Namespace) -> int:
    wrong = False
    for check in examine(home):
        wrong |= check.level == "wrong"
        print(f"{check.level:8} {check.name}: {check.found}")
        if check.cure:
            print(f"{'':8} -> {check.cure}")
    return exits.FAILED if wrong else exits.DONE


def examine(home: Home, *, now: datetime | None = None) -> Iterator[Check]:
    """All checks, one after another; a check that itself fails is reported as wrong and spoils no other."""
    moment = now or datetime.now(UTC)
    looks: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("home", lambda: _home(home)),
        ("disk", lambda: _disk(home)),
        ("database", lambda: _database(home)),
        ("watch", lambda: _watch(home, moment)),
        ("authority", lambda: _authority(home, moment)),
        ("signer", lambda: _signer(home, moment)),
        ("broker", lambda: _broker(home)),
        ("ports", lambda: _ports(home)),
        ("pdf", _pdf),
    )
    for name, look in looks:
        try:
            yield from look()
        except Exception as error:  # the fence: the doctor must finish its round
            yield Check(name, "wrong", f"{type(error).__name__}: {error}")


def _home(home: Home) -> Iterator[Check]:
    mode = home.path.stat().st_mode & 0o077
    if not os.access(home.path, os.W_OK):
        yield Check("home", "wrong", f"{home.path} may not be written", "run as the user that owns it")
    elif mode:
        yield Check("home", "warning", f"{home.path} can be read by others", f"chmod 700 {home.path}")
    else:
        yield Check("home", "ok", str(home.path))


def _disk(home: Home) -> Iterator[Check]:
    free = shutil.disk_usage(home.path).free
    found = f"{free / 1e9:.1f} GB free"
    if free < LEAST_FREE_BYTES:
        yield Check("disk", "wrong", found, f"free at least {LEAST_FREE_BYTES / 1e9:.1f} GB where {home.path} lies")
    else:
        yield Check("disk", "ok", found)


def _database(home: Home) -> Iterator[Check]:
    from annexfleet_controller.cli.data import sqlite_file
    from annexfleet_controller.store import database, migrate

    file = sqlite_file(home)
    if file is not None and not file.exists():
        yield Check("database", "wrong", f"{file} does not exist", "annexfleet migrate")
        return
    engine = database.open_database(home.database_url)
    try:
        current = migrate.is_current(engine)
    finally:
        engine.dispose()
    if current:
        yield Check("database", "ok", f"{engine.dialect.name}, up to date")
    else:
        yield Check("database", "wrong", "its tables are of another version", "annexfleet migrate")


def _watch(home: Home, now: datetime) -> Iterator[Check]:
    """Whether somebody watches over alerts, with rules that count, and people hear of them."""
    from annexfleet_controller.store import calendars, contacts, database, figures, jobs, notices, rules

    engine = database.open_database(home.database_url)
    try:
        with database.reading(engine) as db:
            leased_until, failed = jobs.leased_until(db, "watch_alerts"), jobs.failed(db, "watch_alerts")
            unplanned_at = figures.read(db).get("notices_planning_failed_at_seconds")
            problems = rules.ruleset(db).problems
            failing = notices.failing(db)
            names = {contact.id: contact.name for contact in contacts.listing(db)}
            missing = calendars.missing(db, now)
    finally:
        engine.dispose()
    if leased_until is None or leased_until < now:
        yield Check("watch", "wrong", "nobody watches over alerts", "annexfleet work, or annexfleet serve")
    elif failed:
        yield Check("watch", "wrong", f"the watch over alerts fails again and again: {failed}", "look at work's log")
    else:
        yield Check("watch", "ok", "somebody watches over alerts")
    if unplanned_at is not None and now - unplanned_at[1] < _UNPLANNED_LATELY:
        yield Check("notices", "wrong", "notices cannot be planned", "look at work's log")
    for problem in problems:
        place = problem.scope or "the province"
        found = f"rule {problem.rule_id} as {place} changed it does not count: {problem.field} {problem.reason}"
        yield Check("rules", "warning", found, f"annexfleet rules reset {problem.rule_id}, or change it again")
    for contact_id, (reason, detail, _) in failing.items():
        found = f"{names.get(contact_id, contact_id)} could not be told: {reason} {detail}".rstrip()
        yield Check("notices", "warning", found, "look at /admin/contacts")
    if not names:
        yield Check("notices", "warning", "nobody is told of incidents", "add somebody at /admin/contacts")
    if missing:
        found = f"{len(missing)} religious dates are not entered"
        yield Check("calendars", "warning", found, "enter them at /admin/calendars")


def _authority(home: Home, now: datetime) -> Iterator[Check]:
    from cryptography import x509

    files = sorted(home.authority_dir.rglob("*.pem")) if home.authority_dir.exists() else []
    certificates = [file for file in files if b"BEGIN CERTIFICATE" in file.read_bytes()]
    if not certificates:
        yield Check("authority", "wrong", f"no certificate in {home.authority_dir}", "annexfleet serve makes one")
        return
    for file in certificates:
        certificate = x509.load_pem_x509_certificates(file.read_bytes())[0]
        left = certificate.not_valid_after_utc - now
        found = f"{file.relative_to(home.path)} ends {certificate.not_valid_after_utc:%Y-%m-%d}"
        if left < timedelta(0):
            yield Check("authority", "wrong", found, "a restart of annexfleet serve renews service certificates")
        elif left < _EXPIRES_SOON:
            yield Check("authority", "warning", found, "a restart of annexfleet serve renews service certificates")
        else:
            yield Check("authority", "ok", found)
    for file in _keys_open_to_others(home):
        yield Check("authority", "wrong", f"{file} can be read by others", f"chmod 600 {file}")


def _keys_open_to_others(home: Home) -> list[Path]:
    return [file for file in home.authority_dir.rglob("*.key") if file.stat().st_mode & 0o077]


def _signer(home: Home, now: datetime) -> Iterator[Check]:
    """Whether runs and commands can be signed: keys that the root signed, a sane sequence, a process that answers."""
    from annexfleet_controller.identity import signer, signing

    try:
        found = signing.load(home)
    except signing.SigningBroken as error:
        yield Check("signer", "wrong", str(error), "annexfleet keys rotate, or restore signer/ from a backup")
        return
    yield Check("signer", "ok", f"key set {found.keys.version} is signed by the root; key {found.key_id} signs")
    open_to_others = [file for file in home.signer_dir.glob("*.key") if file.stat().st_mode & 0o077]
    for file in open_to_others:
        yield Check("signer", "wrong", f"{file} can be read by others", f"chmod 600 {file}; annexfleet keys rotate")
    try:
        ahead_s = signing.reserved(home.signer_dir / signing.SEQUENCE) / 1000 - now.timestamp()
    except signing.SigningBroken as error:
        yield Check("signer", "wrong", str(error), "the file takes a number: milliseconds since 1970")
        return
    if ahead_s > _SEQUENCE_AHEAD_S:
        # It goes on rising by one; only a home that loses this file would have to wait until then.
        told = f"its numbers are {ahead_s / 3600:.0f} h ahead of the clock"
        yield Check("signer", "warning", told, "is this machine's clock right?  If so, keep signer/ in your backups")
    try:
        status = signer.status(home, timeout_s=_CONNECT_S)
    except signer.SignerAway as error:
        yield Check("signer", "wrong", str(error), "annexfleet signer, or annexfleet serve")
        return
    if status.problem:
        yield Check("signer", "wrong", f"it signs nothing: {status.problem}", "look at the signer's log")
    elif status.keys_version != found.keys.version:
        yield Check("signer", "wrong", f"it still uses key set {status.keys_version}", "restart annexfleet signer")
    else:
        yield Check("signer", "ok", f"answers at {signer.socket_path(home)}")


def _broker(home: Home) -> Iterator[Check]:
    address = home.broker_socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.settimeout(_CONNECT_S)
            trial.connect(str(address))
    except OSError as error:
        yield Check(
            "broker", "wrong", f"nobody answers at {address} ({error.strerror or error})",
            "annexfleet serve --with-broker, or start mosquitto with mosquitto/mosquitto.conf of this home",
        )  # fmt: skip
    else:
        yield Check("broker", "ok", f"answers at {address}")


def _pdf() -> Iterator[Check]:
    from annexfleet_controller import paper

    if missing := paper.missing():
        yield Check(
            "pdf", "warning", f"reports as PDF need {' '.join(missing)}", f"apt-get install {' '.join(missing)}"
        )
    else:
        yield Check("pdf", "ok", "reports can be made as PDF")


def _ports(home: Home) -> Iterator[Check]:
    settings = home.settings
    for name, host, port, what in (
        ("web", settings.web_host, settings.web_port, "pages"),
        ("enrol", settings.enrol_host, settings.enrol_port, "new devices"),
        ("broker", settings.broker_host, settings.broker_port, "devices"),
    ):
        if serve.is_free(host, port):
            yield Check(
                "ports", "warning", f"nobody listens for {what} on port {port}", "annexfleet serve --with-broker"
            )
        else:
            yield Check("ports", "ok", f"port {port} ({name}) is listening")
