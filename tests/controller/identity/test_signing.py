"""Command keys, and numbers that only rise."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.protocol.envelope import MAX_KEYS, Signed
from annexfleet_agent.protocol.sealing import verified_keys
from annexfleet_controller.identity import authority, files, signing
from annexfleet_controller.identity.signing import RootKeyAway, Sequence, SigningBroken
from annexfleet_controller.settings import Home, Settings

NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home", Settings())
    authority.ensure(made)
    return made


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_keys_are_made_once_and_lie_where_only_the_owner_reads(home: Home):
    first = signing.ensure(home)
    second = signing.ensure(home)

    assert first.keys == second.keys
    assert mode(home.signer_dir) == 0o700
    assert {mode(file) for file in home.signer_dir.iterdir() if file.name != ".lock"} == {0o600}
    assert verified_keys(authority.load(home).root_pem.decode(), first.signed) == first.keys
    assert first.private.public_key().public_bytes_raw() == first.keys.keys[0].public


def test_a_root_key_that_is_kept_elsewhere_must_be_brought_once(home: Home, tmp_path: Path):
    (home.authority_dir / "root.key").rename(tmp_path / "safe.key")
    with pytest.raises(RootKeyAway, match="--root-key"):
        signing.ensure(home)

    signing.rotate(home, NOW, root_key=tmp_path / "safe.key")

    assert signing.ensure(home).keys
    with pytest.raises(RootKeyAway):
        signing.rotate(home, NOW)


def test_another_roots_key_signs_no_set(home: Home, tmp_path: Path):
    other = Home(tmp_path / "other", Settings())
    authority.ensure(other)
    (tmp_path / "none").write_bytes(b"no key")
    before = signing.ensure(home)

    for file in (other.authority_dir / "root.key", other.authority_dir / "device-ca.key", tmp_path / "none"):
        with pytest.raises(SigningBroken):
            signing.rotate(home, NOW, root_key=file)
    assert signing.load(home).keys == before.keys


def test_a_rotation_drops_the_old_key_and_its_private_half(home: Home):
    before = signing.ensure(home)

    after = signing.rotate(home, NOW)

    assert after.keys.version > before.keys.version
    assert [key.id for key in after.keys.keys] == [after.key_id]
    assert [file.name for file in home.signer_dir.glob("*.key")] == [f"{after.key_id}.key"]


def test_old_keys_can_be_kept_until_the_next_rotation(home: Home):
    before = signing.ensure(home)

    after = signing.rotate(home, NOW, keep_old=True)
    for _ in range(MAX_KEYS + 2):
        after = signing.rotate(home, NOW, keep_old=True)

    assert len(after.keys.keys) == MAX_KEYS
    assert after.key_id == after.keys.keys[-1].id
    assert before.key_id not in {key.id for key in after.keys.keys}
    assert len(list(home.signer_dir.glob("*.key"))) == MAX_KEYS


def test_versions_rise_though_the_keys_were_lost_or_the_clock_was_set_back(home: Home):
    first = signing.rotate(home, NOW)
    second = signing.rotate(home, NOW - timedelta(days=400))
    for file in home.signer_dir.iterdir():
        file.unlink()
    third = signing.rotate(home, NOW + timedelta(seconds=10))

    assert first.keys.version < second.keys.version < third.keys.version


def test_keys_of_another_root_are_made_anew_and_newer(home: Home, tmp_path: Path):
    other = Home(tmp_path / "other", Settings())
    authority.ensure(other)
    foreign = signing.ensure(other)
    files.private_directory(home.signer_dir)
    for file in other.signer_dir.iterdir():
        (home.signer_dir / file.name).write_bytes(file.read_bytes())

    made = signing.ensure(home)

    assert made.keys.version > foreign.keys.version
    assert verified_keys(authority.load(home).root_pem.decode(), made.signed)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path, key: (path / f"{key}.key").unlink(), "no private key"),
        (lambda path, key: (path / f"{key}.key").write_bytes(b"short"), "holds no key"),
        (lambda path, key: (path / f"{key}.key").write_bytes(b"x" * 32), "is not the key"),
        (lambda path, key: (path / "keys.json").write_bytes(b"{"), "restore it"),
        (lambda path, key: (path / "keys.json").write_bytes(msgspec.json.encode(Signed(body=b"", proof=b""))), "root"),
        (lambda path, key: (path / "keys.json").unlink(), "is missing"),
    ],
)
def test_what_is_broken_is_said_and_a_rotation_mends_it(home: Home, spoil, says: str):
    spoil(home.signer_dir, signing.ensure(home).key_id)

    with pytest.raises(SigningBroken, match=says):
        signing.load(home)
    signing.rotate(home, NOW)
    assert signing.load(home).keys


# -- the sequence


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("next"), st.integers(-10**10, 10**10)),
            st.tuples(st.just("crash"), st.just(0)),
        ),
        min_size=1, max_size=60,
    )
)  # fmt: skip
def test_numbers_rise_whatever_the_clock_says_and_however_often_it_crashes(tmp_path_factory, script: list):
    path = tmp_path_factory.mktemp("sequence") / "sequence"
    sequence, given_ = Sequence(path), []
    for what, milliseconds in script:
        if what == "crash":
            sequence = Sequence(path)  # nothing is said at a kill -9
        else:
            given_.append(sequence.next(NOW + timedelta(milliseconds=milliseconds)))

    assert given_ == sorted(set(given_))


def test_a_backup_of_yesterday_does_not_lower_it(tmp_path: Path):
    path = tmp_path / "sequence"
    sequence = Sequence(path)
    sequence.next(NOW - timedelta(hours=24))
    backup = path.read_bytes()
    last = [sequence.next(NOW - timedelta(seconds=1)) for _ in range(5_000)][-1]

    path.write_bytes(backup)

    assert Sequence(path).next(NOW + timedelta(minutes=1)) > last


def test_a_lost_file_does_not_lower_it(tmp_path: Path):
    last = Sequence(tmp_path / "one").next(NOW)

    assert Sequence(tmp_path / "other").next(NOW + timedelta(seconds=1)) > last


def test_the_disk_is_asked_once_a_minute_and_not_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written = []
    write = files.write
    monkeypatch.setattr(files, "write", lambda path, content: (written.append(content), write(path, content)))
    sequence = Sequence(tmp_path / "sequence")

    for number in range(1000):
        sequence.next(NOW + timedelta(milliseconds=100 * number))

    assert len(written) == 2


def test_no_number_is_given_that_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sequence = Sequence(tmp_path / "sequence")
    before = sequence.next(NOW)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", full)
        with pytest.raises(OSError, match="No space"):
            sequence.next(NOW + timedelta(hours=1))
    after = sequence.next(NOW)

    assert after == before + 1


def test_threads_get_different_numbers(tmp_path: Path):
    sequence, given_ = Sequence(tmp_path / "sequence"), []

    def take() -> None:
        given_.extend(sequence.next(NOW) for _ in range(500))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(given_)) == 4000


@pytest.mark.parametrize("content", [b"", b"many", b"-1", b"9" * 20, b"\xff"])
def test_a_file_without_a_number_is_not_begun_anew(tmp_path: Path, content: bytes):
    (tmp_path / "sequence").write_bytes(content)

    with pytest.raises(SigningBroken):
        Sequence(tmp_path / "sequence")
