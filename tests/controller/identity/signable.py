"""A home with keys and a database with a device, a run and a command that may be signed for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Engine

from annexfleet_agent.protocol.envelope import ENVELOPE_PURPOSE, Arguments, Delivery, Envelope, KeySet, parse, unpack
from annexfleet_agent.protocol.sealing import Seal, SessionKeys, session_keys, verified_keys
from annexfleet_controller.clock import Clock
from annexfleet_controller.identity import authority, signing
from annexfleet_controller.identity.signer import Answer, Request
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.commands import CommandRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow

NOW = datetime.now(UTC).replace(microsecond=0)
DEVICE, OTHER = "d-" + "a" * 26, "d-" + "b" * 26
EXCHANGE = X25519PrivateKey.from_private_bytes(b"x" * 32)
COMMAND = "c-abcdefgh"


class TurnedClock(Clock):
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def turn(self, **by: float) -> None:
        self.at += timedelta(**by)


def home_with_keys(path: Path, engine: Engine) -> Home:
    home = Home(path / "home", Settings(database_url=engine.url.render_as_string(hide_password=False)))
    authority.ensure(home)
    signing.ensure(home)
    return home


def fill(engine: Engine) -> None:
    """Run 1 with DEVICE and not OTHER, and a command for DEVICE."""
    with writing(engine) as db:
        db.add(Annex(id="berkane-1", name_fr="Annexe 1", name_ar="الملحقة 1", created_at=NOW))
        db.flush()
        for number, device_id in ((1, DEVICE), (2, OTHER)):
            db.add(
                Device(
                    number=number, id=device_id, annex_id="berkane-1", name=device_id[:4], role="counter",
                    enrolled_at=NOW, exchange_key=EXCHANGE.public_key().public_bytes_raw(),
                )
            )  # fmt: skip
        db.add(
            RunRow(
                id=1, kind="playbook", playbook="packages", forks=5, timeout_s=3600.0, bundle_digest="cd" * 32,
                author="amina", created_at=NOW, state="running", started_at=NOW - timedelta(minutes=10),
            )
        )  # fmt: skip
        db.flush()
        db.add(RunHostRow(run_id=1, device_number=1, annex_id="berkane-1", state="running"))
        db.add(
            CommandRow(
                id=COMMAND, device_number=1, name="reboot", parameters='{"delay_s": 5}', author="amina",
                receipt_key=b"receipt key",
                created_at=NOW, give_up_at=NOW + timedelta(hours=1), state="waiting",
            )
        )  # fmt: skip


def asks(**change: object) -> Request:
    """A request that is granted, unless it is changed."""
    what = {
        "what": "run", "id": "1", "device_id": DEVICE, "session": "0011223344556677", "boot_id": "0123456789ab",
        "challenge": "ab" * 16, "keys_version": 0,
    } | change  # fmt: skip
    return Request(**what)  # type: ignore[arg-type]


def opened(answer: Answer, root: str, *, keys: KeySet | None = None) -> tuple[Envelope, Arguments]:
    """As a runner does: the key set, the signature, the keys of the session, the arguments."""
    delivery = unpack(answer.delivery)
    assert isinstance(delivery, Delivery)
    if delivery.keys is not None:
        keys = verified_keys(root, delivery.keys)
    assert keys is not None
    envelope = parse(delivery.envelope.body, Envelope)
    key = next(key for key in keys.keys if key.id == envelope.key_id)
    assert envelope.action in key.classes
    Ed25519PublicKey.from_public_bytes(key.public).verify(
        delivery.envelope.proof, ENVELOPE_PURPOSE + delivery.envelope.body
    )
    agreed = session_keys(
        EXCHANGE, envelope.ephemeral_key, session=envelope.session, device_id=envelope.device_id,
        ephemeral=envelope.ephemeral_key,
    )  # fmt: skip
    assert agreed == SessionKeys(answer.down, answer.up)
    plain = Seal(agreed.down).open(0, envelope.sealed, envelope.session.encode())
    return envelope, parse(plain, Arguments)
