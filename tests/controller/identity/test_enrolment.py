"""Who is let in, on both databases, with no network."""

import base64
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from annexfleet_agent.protocol import enrolment as wire
from annexfleet_controller.clock import Clock
from annexfleet_controller.errors import AnnexUnknown
from annexfleet_controller.identity import authority, certificates, enrolment, tokens
from annexfleet_controller.identity.enrolment import Refused, TokenState, token_refusal
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import certificates as certificate_rows
from annexfleet_controller.store import devices
from annexfleet_controller.store import tokens as token_rows
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Certificate, Device, Token
from annexfleet_controller.store.tables.places import Annex

START = datetime(2027, 1, 4, 8, 0, tzinfo=UTC)
SETTINGS = Settings(broker_host="broker.example.ma")
URL = "https://broker.example.ma:8443"


class Still(Clock):
    def now(self) -> datetime:
        return START


@pytest.fixture
def ours(tmp_path: Path) -> authority.Authority:
    return authority.ensure(Home(tmp_path / "home", SETTINGS), clock=Still())


@pytest.fixture
def fleet(engine: Engine) -> Engine:
    """A database with one annex."""
    with writing(engine) as db:
        db.add(Annex(id="berkane-1", name_fr="Annexe 1", name_ar="الملحقة 1", created_at=START))
    return engine


def new_token(
    engine: Engine, ours: authority.Authority, *, max_devices: int = 1, role: str = "counter"
) -> wire.TokenText:
    with writing(engine) as db:
        text = tokens.create(
            db,
            "berkane-1",
            role=role,
            max_devices=max_devices,
            expires_at=START + timedelta(hours=72),
            created_by="test",
            enrol_url=URL,
            authority_pin=ours.pin,
            now=START,
        )
    return wire.decode_token(text)


def csr(key) -> str:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return request.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def signed(
    token: wire.TokenText, ours: authority.Authority, *, key=None, seed: bytes = b"", now: datetime = START, **fields
) -> wire.Signed:
    request = wire.EnrolRequest(
        **{
            "token_id": token.id,
            "nonce": enrolment.new_nonce(ours.nonce_key, now),
            "csr": csr(key or certificates.new_key()),
            **fields,
        }
    )
    body = msgspec.json.encode(request)
    secret = ed25519.Ed25519PrivateKey.from_private_bytes(seed or token.seed)
    return wire.Signed(body=body, proof=secret.sign(wire.ENROL_PURPOSE + body))


def refusal(engine: Engine, ours: authority.Authority, request: wire.Signed, now: datetime = START) -> str:
    with pytest.raises(Refused) as caught:
        enrolment.enrol(engine, ours, SETTINGS, request, now)
    return caught.value.code


def token_row(engine: Engine) -> Token:
    with reading(engine) as db:
        return db.scalars(select(Token)).one()


GOOD = TokenState(used=0, max_devices=1, failed_proofs=0, expires_at=START + timedelta(seconds=1), revoked_at=None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, None),
        ({"used": 1}, "token_used_up"),
        ({"used": 1, "max_devices": 2}, None),
        ({"expires_at": START}, "token_expired"),
        ({"revoked_at": START}, "token_revoked"),
        ({"failed_proofs": 19}, None),
        ({"failed_proofs": 20}, "token_locked"),
        ({"failed_proofs": 20, "revoked_at": START}, "token_locked"),
        ({"revoked_at": START, "expires_at": START}, "token_revoked"),
        ({"expires_at": START, "used": 1}, "token_expired"),
    ],
)
def test_whether_a_token_lets_anybody_in(change, expected: str | None):
    assert token_refusal(GOOD._replace(**change), START) == expected


@pytest.mark.parametrize(("age_s", "good"), [(0, True), (300, True), (301, False), (-60, False)])
def test_a_nonce_is_good_for_five_minutes(age_s: float, good: bool):
    nonce = enrolment.new_nonce(b"k" * 32, START)

    assert enrolment.nonce_is_good(b"k" * 32, nonce, START + timedelta(seconds=age_s)) is good


@given(st.text(max_size=120))
def test_no_other_text_is_a_nonce(text: str):
    assert not enrolment.nonce_is_good(b"k" * 32, text, START)


def test_a_nonce_of_another_controller_is_refused():
    assert not enrolment.nonce_is_good(b"k" * 32, enrolment.new_nonce(b"j" * 32, START), START)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Guichet 2", "Guichet 2"),
        ("  a\n\tb  ", "a b"),
        ("a\u202eb\u2066c\x00d", "a b c d"),
        ("x" * 300, "x" * 120),
        ("الشباك 2", "الشباك 2"),
    ],
)
def test_a_devices_own_words_are_made_plain(said: str, kept: str):
    assert enrolment.plain(said, 120) == kept


def test_a_device_with_a_good_token_gets_a_certificate_for_its_key(fleet: Engine, ours: authority.Authority):
    key = certificates.new_key()
    request = signed(new_token(fleet, ours), ours, key=key, name="Guichet 2", role="server", model="X")

    answer = enrolment.enrol(fleet, ours, SETTINGS, request, START)

    leaf = x509.load_pem_x509_certificates(answer.chain.encode())[0]
    assert leaf.public_key() == key.public_key()
    assert (answer.broker_host, answer.broker_port, answer.annex_id) == ("broker.example.ma", 8883, "berkane-1")
    assert answer.role == "counter", "the token's role counts, not the device's"
    assert 27 <= (answer.renew_at - START.timestamp()) / 86400 <= 33
    assert answer.expires_at == (START + timedelta(days=45)).timestamp()
    with reading(fleet) as db:
        device = db.scalars(select(Device)).one()
        certificate = db.scalars(select(Certificate)).one()
    assert (device.id, device.name, device.model) == (answer.device_id, "Guichet 2", "X")
    assert certificate.serial == f"{leaf.serial_number:x}"
    assert token_row(fleet).used == 1


@pytest.mark.parametrize(
    ("token_role", "said", "expected"),
    [("kiosk", "server", "kiosk"), ("", "server", "server"), ("", "", "counter")],
)
def test_whose_word_about_the_role_counts(
    fleet: Engine, ours: authority.Authority, token_role: str, said: str, expected: str
):
    request = signed(new_token(fleet, ours, role=token_role), ours, role=said)

    assert enrolment.enrol(fleet, ours, SETTINGS, request, START).role == expected


def test_a_role_that_there_is_not_takes_no_place_of_the_token(fleet: Engine, ours: authority.Authority):
    assert refusal(fleet, ours, signed(new_token(fleet, ours, role=""), ours, role="boss")) == "role_wrong"
    assert token_row(fleet).used == 0


def test_the_same_request_twice_gives_one_device(fleet: Engine, ours: authority.Authority):
    request = signed(new_token(fleet, ours), ours)

    first = enrolment.enrol(fleet, ours, SETTINGS, request, START)
    second = enrolment.enrol(fleet, ours, SETTINGS, request, START + timedelta(minutes=2))

    assert second.device_id == first.device_id
    assert (second.expires_at, second.renew_at) == (first.expires_at, first.renew_at)
    assert token_row(fleet).used == 1


def test_a_key_is_certified_for_one_token_only(fleet: Engine, ours: authority.Authority):
    key = certificates.new_key()
    enrolment.enrol(fleet, ours, SETTINGS, signed(new_token(fleet, ours), ours, key=key), START)

    assert refusal(fleet, ours, signed(new_token(fleet, ours), ours, key=key)) == "key_used"


def test_wrong_proofs_are_counted_and_lock_the_token(fleet: Engine, ours: authority.Authority):
    token = new_token(fleet, ours)
    wrong = signed(token, ours, seed=b"x" * 32)

    codes = [refusal(fleet, ours, wrong) for _ in range(21)]

    assert codes == ["proof_wrong"] * 20 + ["token_locked"]
    assert refusal(fleet, ours, signed(token, ours)) == "token_locked"


@pytest.mark.parametrize("changed", ["name", "csr", "nonce"])
def test_nothing_in_a_signed_request_can_be_changed(fleet: Engine, ours: authority.Authority, changed: str):
    request = signed(new_token(fleet, ours), ours, name="Guichet")
    values = {"name": "Kiosk", "csr": csr(certificates.new_key()), "nonce": enrolment.new_nonce(ours.nonce_key, START)}
    body = msgspec.json.decode(request.body, type=wire.EnrolRequest)
    forged = msgspec.json.encode(msgspec.structs.replace(body, **{changed: values[changed]}))

    assert refusal(fleet, ours, wire.Signed(body=forged, proof=request.proof)) == "proof_wrong"


def test_a_proof_for_a_renewal_is_none_for_an_enrolment(fleet: Engine, ours: authority.Authority):
    token = new_token(fleet, ours)
    body = signed(token, ours).body
    secret = ed25519.Ed25519PrivateKey.from_private_bytes(token.seed)

    assert refusal(fleet, ours, wire.Signed(body=body, proof=secret.sign(wire.RENEW_PURPOSE + body))) == "proof_wrong"


@pytest.mark.parametrize(
    ("request_for", "expected"),
    [
        (lambda t, o: signed(t, o, now=START - timedelta(minutes=6)), "nonce_expired"),
        (lambda t, o: signed(t, o, nonce="00"), "nonce_expired"),
        (lambda t, o: signed(t, o, token_id="unknown"), "token_unknown"),
        (lambda t, o: signed(t, o, csr="garbage"), "csr_wrong"),
        (lambda t, o: signed(t, o, csr=csr(ec.generate_private_key(ec.SECP384R1()))), "csr_wrong"),
        (lambda t, o: signed(t, o, csr=csr(rsa.generate_private_key(65537, 2048))), "csr_wrong"),
        (lambda t, o: signed(t, o, csr=csr(ed25519.Ed25519PrivateKey.generate())), "csr_wrong"),
        (lambda t, o: signed(t, o, csr=_of_a_key_not_held()), "csr_wrong"),
        (lambda t, o: wire.Signed(body=b"{}", proof=b""), "malformed"),
        (lambda t, o: wire.Signed(body=b"\xff", proof=b""), "malformed"),
        (lambda t, o: wire.Signed(body=signed(t, o).body, proof=b""), "proof_wrong"),
    ],
)
def test_why_a_request_is_refused(fleet: Engine, ours: authority.Authority, request_for, expected: str):
    assert refusal(fleet, ours, request_for(new_token(fleet, ours), ours)) == expected
    assert token_row(fleet).used == 0


def _of_a_key_not_held() -> str:
    """A request for somebody else's public key: the signature does not fit it."""
    ours, theirs = certificates.new_key(), certificates.new_key()
    der = x509.load_pem_x509_csr(csr(ours).encode()).public_bytes(Encoding.DER)
    assert _point(ours) in der
    forged = base64.encodebytes(der.replace(_point(ours), _point(theirs))).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{forged}-----END CERTIFICATE REQUEST-----\n"


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32) + numbers.y.to_bytes(32)


def test_an_expired_token_is_told_to_whoever_holds_it(fleet: Engine, ours: authority.Authority):
    token = new_token(fleet, ours)
    later = START + timedelta(hours=73)

    assert refusal(fleet, ours, signed(token, ours, now=later), later) == "token_expired"
    assert refusal(fleet, ours, signed(token, ours, seed=b"x" * 32, now=later), later) == "proof_wrong"


def test_a_thief_of_the_database_cannot_make_a_proof(fleet: Engine, ours: authority.Authority):
    token = new_token(fleet, ours)
    row = token_row(fleet)
    values = [getattr(row, column.name) for column in Token.__table__.columns]
    stolen = [value for value in values if isinstance(value, bytes | str)]

    assert token.seed not in stolen
    for value in stolen:
        raw = value if isinstance(value, bytes) else value.encode()
        assert token.seed not in raw
        guess = raw[:32].ljust(32, b"\0")
        assert refusal(fleet, ours, signed(token, ours, seed=guess)) == "proof_wrong"


# -- renewal ----------------------------------------------------------------------------------------------------------


class Enrolled:
    """An enrolled device and its key."""

    def __init__(self, engine: Engine, ours: authority.Authority) -> None:
        self.key = certificates.new_key()
        request = signed(new_token(engine, ours), ours, key=self.key)
        self.answer = enrolment.enrol(engine, ours, SETTINGS, request, START)
        self.leaf = x509.load_pem_x509_certificates(self.answer.chain.encode())[0]

    def renewal(self, ours: authority.Authority, *, new_key=None, sign_with=None, leaf=None, now=START) -> wire.Signed:
        request = wire.RenewRequest(
            nonce=enrolment.new_nonce(ours.nonce_key, now),
            csr=csr(new_key or certificates.new_key()),
            certificate=(leaf or self.leaf).public_bytes(Encoding.PEM).decode(),
        )
        body = msgspec.json.encode(request)
        proof = (sign_with or self.key).sign(wire.RENEW_PURPOSE + body, ec.ECDSA(hashes.SHA256()))
        return wire.Signed(body=body, proof=proof)


def renewal_refusal(engine: Engine, ours: authority.Authority, request: wire.Signed, now: datetime = START) -> str:
    with pytest.raises(Refused) as caught:
        enrolment.renew(engine, ours, SETTINGS, request, now)
    return caught.value.code


def test_a_renewal_keeps_the_name_and_takes_a_new_key(fleet: Engine, ours: authority.Authority):
    device, new_key = Enrolled(fleet, ours), certificates.new_key()
    later = START + timedelta(days=30)
    request = device.renewal(ours, new_key=new_key, now=later)

    answer = enrolment.renew(fleet, ours, SETTINGS, request, later)
    again = enrolment.renew(fleet, ours, SETTINGS, request, later + timedelta(minutes=1))

    leaf, repeated = (x509.load_pem_x509_certificates(a.chain.encode())[0] for a in (answer, again))
    assert answer.device_id == device.answer.device_id
    assert leaf.public_key() == new_key.public_key()
    assert repeated.serial_number == leaf.serial_number
    assert leaf.not_valid_after_utc == later + timedelta(days=45)


def test_a_device_that_is_revoked_while_it_renews_has_no_certificate_that_is_good(
    fleet: Engine, ours: authority.Authority, monkeypatch: pytest.MonkeyPatch
):
    device = Enrolled(fleet, ours)
    issue = authority.Authority.issue_device

    def revoke():
        with writing(fleet) as db:
            row = devices.find(db, device.answer.device_id)
            assert row is not None
            devices.revoke(db, row.number, START)
            certificate_rows.revoke_of_device(db, row.number, START)

    revoking = threading.Thread(target=revoke)

    def issue_while_somebody_revokes(*args, **options):
        revoking.start()
        revoking.join(0.5)  # either it is done by then, or it waits for the renewal
        return issue(*args, **options)

    monkeypatch.setattr(authority.Authority, "issue_device", issue_while_somebody_revokes)

    enrolment.renew(fleet, ours, SETTINGS, device.renewal(ours), START)
    revoking.join()

    with reading(fleet) as db:
        assert [row.revoked_at for row in db.scalars(select(Certificate))] == [START, START]


def test_why_a_renewal_is_refused(fleet: Engine, ours: authority.Authority, tmp_path: Path):
    device, other = Enrolled(fleet, ours), Enrolled(fleet, ours)
    elsewhere = authority.ensure(Home(tmp_path / "elsewhere", SETTINGS), clock=Still())
    foreign = elsewhere.issue_device(device.key.public_key(), device.answer.device_id, START)
    forged = x509.load_pem_x509_certificates(foreign.chain)[0]
    too_late = START + timedelta(days=45 + 30, seconds=2)

    assert renewal_refusal(fleet, ours, device.renewal(ours, sign_with=other.key)) == "proof_wrong"
    assert renewal_refusal(fleet, ours, device.renewal(ours, leaf=forged)) == "certificate_unknown"
    assert renewal_refusal(fleet, ours, device.renewal(ours, leaf=ours.root)) == "certificate_unknown"
    assert renewal_refusal(fleet, ours, device.renewal(ours, new_key=device.key)) == "key_used"
    assert renewal_refusal(fleet, ours, device.renewal(ours, new_key=other.key)) == "key_used"
    assert renewal_refusal(fleet, ours, device.renewal(ours, now=too_late), too_late) == "certificate_too_old"


# -- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": "boss"}, "role"),
        ({"max_devices": 0}, "max_devices"),
        ({"max_devices": 1001}, "max_devices"),
        ({"expires_at": START}, "expires_at"),
        ({"expires_at": START + timedelta(days=15)}, "expires_at"),
        ({"enrol_url": "http://x"}, "enrol_url"),
        ({"enrol_url": "https://"}, "enrol_url"),
    ],
)
def test_what_a_token_may_not_be(sqlite_engine: Engine, change: dict[str, object], field: str):
    values = {
        "role": "counter",
        "max_devices": 1,
        "expires_at": START + timedelta(hours=1),
        "created_by": "test",
        "enrol_url": URL,
        "authority_pin": "00" * 32,
        "now": START,
    }
    with writing(sqlite_engine) as db, pytest.raises(tokens.TokenRefused) as caught:
        tokens.create(db, "berkane-1", **{**values, **change})

    assert caught.value.facts == {"field": field}


def test_a_token_for_an_annex_that_there_is_not(sqlite_engine: Engine, ours: authority.Authority):
    with pytest.raises(AnnexUnknown):
        new_token(sqlite_engine, ours)


def test_a_revoked_token_is_revoked_once(fleet: Engine, ours: authority.Authority):
    token = new_token(fleet, ours)

    with writing(fleet) as db:
        outcomes = [token_rows.revoke(db, token.id, START) for _ in range(2)]

    assert outcomes == [True, False]
    assert refusal(fleet, ours, signed(token, ours)) == "token_revoked"
