"""The runner's own key, and whom it obeys."""

import os
import threading
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.protocol.rooted import Root, key_set

from annexfleet_agent.protocol.envelope import Signed
from annexfleet_agent.runner import keys
from annexfleet_agent.runner.keys import KeySetWrong, KeysUnusable

DEVICE = "d-" + "a" * 26
ROOT = Root()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "runner"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# -- the exchange key


def test_a_key_is_made_once_and_only_its_owner_reads_it(place: Path):
    public = keys.ensure(place)

    assert keys.ensure(place) == public == keys.told(place)
    assert keys.load(place).public_key().public_bytes_raw() == public
    assert (place / "exchange.key").read_bytes() == keys.load(place).private_bytes_raw()
    assert (mode(place), mode(place / "exchange.key"), mode(place / "exchange.pub")) == (0o700, 0o600, 0o600)


def test_of_a_runner_of_roots_the_agent_reads_the_public_half(place: Path):
    before = os.umask(0o077)
    try:
        keys.ensure(place, seen_by_all=True)
    finally:
        os.umask(before)

    assert (mode(place), mode(place / "exchange.key"), mode(place / "exchange.pub")) == (0o755, 0o600, 0o644)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_what_can_be_no_key_is_made_anew(place: Path, content: bytes):
    before = keys.ensure(place)
    (place / "exchange.key").write_bytes(content)
    with pytest.raises(KeysUnusable, match="holds no key"):
        keys.load(place)

    after = keys.ensure(place)

    assert after == keys.told(place) != before


@pytest.mark.parametrize("content", [b"", b"zz", b"ab" * 31, "é".encode()])
def test_a_public_half_that_was_spoiled_is_written_anew(place: Path, content: bytes):
    public = keys.ensure(place)
    (place / "exchange.pub").write_bytes(content)
    assert keys.told(place) == b""

    assert keys.ensure(place) == keys.told(place) == public


def test_where_there_is_no_key_none_is_told(place: Path):
    assert keys.told(place) == b""
    with pytest.raises(KeysUnusable):
        keys.load(place)


def test_two_who_make_it_at_once_get_the_same(place: Path):
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(keys.ensure(place))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 1


# -- trust


def trusted(place: Path, version: int | None = 5, root: Root = ROOT) -> None:
    signed = None if version is None else root.signed(key_set(version))
    keys.remember(place, device_id=DEVICE, root=root.pem, signed=signed)


def test_what_enrolment_told_is_remembered(place: Path):
    trusted(place)

    found = keys.trust(place)

    assert (found.device_id, found.root, found.keys_version) == (DEVICE, ROOT.pem, 5)
    assert found.keys == key_set(5)
    assert mode(place / "trust.json") == 0o600


def test_a_newer_key_set_is_adopted_and_stays(place: Path):
    trusted(place, None)
    assert (keys.trust(place).keys, keys.trust(place).keys_version) == (None, 0)

    for version in (1, 2, 9):
        assert keys.adopt(place, ROOT.signed(key_set(version))) == key_set(version)
        assert keys.trust(place).keys_version == version


@pytest.mark.parametrize(
    "signed",
    [
        ROOT.signed(key_set(5)),
        ROOT.signed(key_set(4)),
        Root().signed(key_set(6)),
        ROOT.signed(key_set(6, public=b"short")),
        Signed(body=b"", proof=b""),
    ],
)
def test_an_older_or_foreign_key_set_changes_nothing(place: Path, signed: Signed):
    trusted(place)
    before = (place / "trust.json").read_bytes()

    with pytest.raises(KeySetWrong):
        keys.adopt(place, signed)

    assert (place / "trust.json").read_bytes() == before


@pytest.mark.parametrize(("version", "expected"), [(None, 5), (3, 5), (5, 5), (7, 7)])
def test_a_renewal_never_brings_back_an_older_key_set(place: Path, version: int | None, expected: int):
    trusted(place)

    trusted(place, version)

    assert keys.trust(place).keys_version == expected


def test_another_controller_is_obeyed_from_the_beginning(place: Path):
    trusted(place)
    other = Root()

    trusted(place, 2, other)

    assert (keys.trust(place).root, keys.trust(place).keys_version) == (other.pem, 2)


def test_keys_that_the_root_did_not_sign_are_not_remembered(place: Path):
    with pytest.raises(KeySetWrong):
        keys.remember(place, device_id=DEVICE, root=ROOT.pem, signed=Root().signed(key_set()))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"{}", b"\xff",
        msgspec.json.encode({"device_id": DEVICE, "root": ROOT.pem, "signed": {"body": "aaaa", "proof": "aaaa"}}),
    ],
)  # fmt: skip
def test_a_file_that_was_spoiled_is_no_trust(place: Path, content: bytes):
    trusted(place)
    (place / "trust.json").write_bytes(content)

    with pytest.raises(KeysUnusable):
        keys.trust(place)
    with pytest.raises(KeysUnusable):
        keys.adopt(place, ROOT.signed(key_set(9)))


@pytest.mark.parametrize("name", [".", "trust.json", "exchange.key"])
def test_files_that_others_may_write_are_not_trusted(place: Path, name: str):
    keys.ensure(place)
    trusted(place)
    (place / name).chmod(0o777)

    for read in (keys.trust, keys.load):
        with pytest.raises(KeysUnusable, match="not trusted"):
            read(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", [".", "trust.json", "exchange.key"])
def test_root_trusts_no_file_of_another_users(place: Path, name: str):
    keys.ensure(place)
    trusted(place)
    os.chown(place / name, 65534, 65534)

    for read in (keys.trust, keys.load):
        with pytest.raises(KeysUnusable, match="another user"):
            read(place)


def test_a_key_that_is_agreed_with_the_public_half_opens(place: Path):
    public, other = keys.ensure(place), X25519PrivateKey.generate()

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    agreed = other.exchange(X25519PublicKey.from_public_bytes(public))
    assert agreed == keys.load(place).exchange(other.public_key())
