"""The local authority: made once, kept, never made over."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from annexfleet_controller.clock import Clock
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.identity import authority, certificates, crl
from annexfleet_controller.settings import Home, Settings

START = datetime(2027, 1, 4, 8, 0, tzinfo=UTC)
DEVICE = "d-" + "a" * 26


class Still(Clock):
    def __init__(self, now: datetime = START) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", Settings(broker_host="broker.example.ma"))


def service_names(home: Home) -> set[str]:
    leaf = x509.load_pem_x509_certificates((home.authority_dir / "service.pem").read_bytes())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def contents(home: Home) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in home.authority_dir.iterdir() if file.name != ".lock"}


def test_a_second_start_changes_nothing(home: Home):
    authority.ensure(home, ["10.0.0.5"], clock=Still())
    before = contents(home)

    authority.ensure(home, ["10.0.0.5"], clock=Still(START + timedelta(days=300)))

    assert contents(home) == before


def test_nobody_but_the_owner_may_read_it(home: Home):
    authority.ensure(home, clock=Still())

    assert stat.S_IMODE(home.authority_dir.stat().st_mode) == 0o700
    for name in contents(home):
        assert stat.S_IMODE((home.authority_dir / name).stat().st_mode) == 0o600, name


def test_the_service_certificate_bears_every_name_once(home: Home):
    authority.ensure(home, ["10.0.0.5", "localhost", "annexe.local", "0.0.0.0"], clock=Still())

    expected = {"broker.example.ma", "localhost", "127.0.0.1", "::1", "10.0.0.5", "annexe.local"}
    assert service_names(home) == expected


@pytest.mark.parametrize(
    ("names", "days_later", "renewed"),
    [
        (["10.0.0.5"], 0, False),
        (["10.0.0.6"], 0, True),
        ([], 0, True),
        (None, 0, False),
        (["10.0.0.5"], 336, False),
        (["10.0.0.5"], 338, True),
        (None, 338, True),
    ],
)
def test_when_the_service_certificate_is_made_anew(home: Home, names: list[str] | None, days_later: int, renewed: bool):
    ours = authority.ensure(home, ["10.0.0.5"], clock=Still())
    before = contents(home)

    later = authority.ensure(home, names, clock=Still(START + timedelta(days=days_later)))

    after = contents(home)
    assert (after["service.pem"] != before["service.pem"]) is renewed
    assert later.pin == ours.pin
    assert ("10.0.0.5" in service_names(home)) is (names is None or "10.0.0.5" in names)


def test_a_service_key_that_does_not_fit_is_replaced_with_its_certificate(home: Home):
    authority.ensure(home, clock=Still())
    (home.authority_dir / "service.key").write_bytes(certificates.key_pem(certificates.new_key()))
    before = contents(home)

    authority.ensure(home, clock=Still())

    assert contents(home)["service.pem"] != before["service.pem"]


def test_a_name_that_is_no_host_is_told(home: Home):
    with pytest.raises(SettingsWrong, match="no host name"):
        authority.ensure(home, ["a" * 300], clock=Still())


def test_the_root_key_may_be_kept_elsewhere(home: Home):
    authority.ensure(home, clock=Still())
    (home.authority_dir / "root.key").unlink()

    ours = authority.ensure(home, clock=Still())

    assert ours.issue_device(certificates.new_key().public_key(), DEVICE, START).chain


@pytest.mark.parametrize("lost", ["root.pem", "device-ca.key", "service-ca.key"])
def test_nothing_is_made_over_a_broken_authority(home: Home, lost: str):
    authority.ensure(home, clock=Still())
    (home.authority_dir / lost).unlink()
    (home.authority_dir / "service.pem").unlink()

    with pytest.raises(authority.AuthorityBroken, match=lost):
        authority.ensure(home, clock=Still())


def test_a_lost_list_is_not_replaced_by_an_empty_one(home: Home):
    ours = authority.ensure(home, clock=Still())
    ours.crl_path.unlink()

    authority.ensure(home, clock=Still())

    assert not ours.crl_path.exists()


@pytest.mark.parametrize("days", [-366, 3651])
def test_with_a_wrong_clock_nothing_is_signed(home: Home, days: int):
    ours = authority.ensure(home, clock=Still())
    moment = START + timedelta(days=days)

    with pytest.raises(authority.ClockWrong, match="clock says"):
        ours.issue_device(certificates.new_key().public_key(), DEVICE, moment)
    with pytest.raises(authority.ClockWrong):
        ours.publish_crl({}, moment)
    with pytest.raises(authority.ClockWrong):
        authority.ensure(home, clock=Still(moment))


def test_a_device_certificate_is_a_clients_alone(home: Home):
    ours = authority.ensure(home, clock=Still())
    key = certificates.new_key()

    issued = ours.issue_device(key.public_key(), DEVICE, START)

    leaf, branch = x509.load_pem_x509_certificates(issued.chain)
    leaf.verify_directly_issued_by(branch)
    branch.verify_directly_issued_by(ours.root)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert leaf.serial_number.bit_length() == 128
    assert leaf.not_valid_before_utc == START - timedelta(hours=1)
    assert issued.expires_at == leaf.not_valid_after_utc == START + timedelta(days=45)
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_the_same_certificate_can_be_given_twice(home: Home):
    ours = authority.ensure(home, clock=Still())
    key = certificates.new_key().public_key()
    first = ours.issue_device(key, DEVICE, START)

    second = ours.issue_device(key, DEVICE, START, serial=first.serial)

    a, b = (x509.load_pem_x509_certificates(issued.chain)[0] for issued in (first, second))
    assert a.tbs_certificate_bytes == b.tbs_certificate_bytes


# -- the list of revoked certificates ---------------------------------------------------------------------------------


def test_the_number_of_a_list_never_goes_back(home: Home):
    ours = authority.ensure(home, clock=Still())

    numbers = [crl.number(ours.publish_crl({}, START)) for _ in range(3)]
    ours.crl_path.unlink()  # as after a restored backup
    numbers.append(crl.number(ours.publish_crl({}, START)))

    assert numbers == [2, 3, 4, 5]


def test_a_list_names_what_was_revoked(home: Home):
    ours = authority.ensure(home, clock=Still())
    serial = certificates.new_serial()

    ours.publish_crl({serial: START}, START)

    made = crl.check(ours.crl_path.read_bytes(), START, of=ours.device_ca)
    row = made.get_revoked_certificate_by_serial_number(serial)
    assert row is not None
    assert row.revocation_date_utc == START
    assert made.next_update_utc == START + timedelta(days=30)


def _spoil_end(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("spoil", [lambda _: b"", lambda _: b"garbage", _spoil_end])
def test_a_list_that_is_not_whole_is_not_accepted(home: Home, spoil):
    ours = authority.ensure(home, clock=Still())

    with pytest.raises(crl.CrlWrong, match="cannot be read"):
        crl.check(spoil(ours.crl_path.read_bytes()), START, of=ours.device_ca)


def test_a_list_of_another_authority_is_not_accepted(home: Home, tmp_path: Path):
    ours = authority.ensure(home, clock=Still())
    other = authority.ensure(Home(tmp_path / "other", Settings()), clock=Still())

    with pytest.raises(crl.CrlWrong, match="not signed"):
        crl.check(other.crl_path.read_bytes(), START, of=ours.device_ca)


@pytest.mark.parametrize(("days", "good"), [(0, True), (9, True), (11, False), (40, False)])
def test_a_list_that_ends_soon_is_not_accepted(home: Home, days: int, good: bool):
    ours = authority.ensure(home, clock=Still())
    later = START + timedelta(days=days)

    if good:
        crl.check(ours.crl_path.read_bytes(), later, of=ours.device_ca)
    else:
        with pytest.raises(crl.CrlWrong, match="out of date"):
            crl.check(ours.crl_path.read_bytes(), later, of=ours.device_ca)
