"""Payloads taken apart into files, and put together for a device that lacks some."""

import base64
import hashlib
import io
import threading
import zipfile

import pytest
from tests.recorded import Wanted, named

from annexfleet_agent.runner.modules import unpacked
from annexfleet_controller.rollouts import modules
from annexfleet_controller.rollouts.modules import Payloads, PayloadWrong, pack, split


def payload(contents: dict[str, bytes], *, year: int = 2026) -> str:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), content)
    return base64.b64encode(raw.getvalue()).decode()


def test_a_payload_of_ansible_is_its_files(recorded: list[Wanted]):
    wanted = named(recorded, "ansible.modules.stat")[0]

    apart = split(wanted.call.zip_data)

    with zipfile.ZipFile(io.BytesIO(base64.b64decode(wanted.call.zip_data))) as archive:
        assert {file.name: apart.contents[file.sha256] for file in apart.files} == {
            name: archive.read(name) for name in archive.namelist()
        }
    assert [file.name for file in apart.files] == sorted(file.name for file in apart.files)
    assert all(hashlib.sha256(content).hexdigest() == digest for digest, content in apart.contents.items())


def test_two_modules_share_most_of_their_files(recorded: list[Wanted]):
    one, other = (split(named(recorded, f"ansible.modules.{name}")[0].call.zip_data) for name in ("stat", "slurp"))

    lacking = [digest for digest in other.contents if digest not in one.contents]

    assert 0 < len(lacking) < 10
    assert len(pack(other.contents, lacking)) < 8192


def test_a_device_gets_what_it_lacks_in_the_order_of_its_asking():
    apart = split(payload({"a.py": b"a" * 1000, "b.py": b"", "c.py": b"c"}))
    asked = [file.sha256 for file in reversed(apart.files)]

    assert list(unpacked(pack(apart.contents, asked), asked)) == [(digest, apart.contents[digest]) for digest in asked]
    with pytest.raises(KeyError):
        pack(apart.contents, ["0" * 64])


def test_what_was_taken_apart_is_remembered_and_contents_are_kept_once():
    payloads = Payloads()
    one = payload({"a.py": b"a" * 1000, "b.py": b"b"})

    first = payloads.split(one)
    assert payloads.split(one) is first
    assert payloads.size_bytes == 1001
    again = payloads.split(payload({"a.py": b"a" * 1000, "c.py": b"cc"}, year=2027))

    assert payloads.size_bytes == 1003
    digest = first.files[0].sha256
    assert again.contents[digest] is first.contents[digest]


def test_what_was_used_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    payloads = Payloads(max_bytes=2500)
    data = [payload({"shared.py": b"s" * 500, f"{n}.py": bytes([n]) * 800}) for n in range(4)]
    known = [payloads.split(one) for one in data[:2]]
    payloads.split(data[0])

    payloads.split(data[2])

    assert payloads.size_bytes == 2100
    assert payloads.split(data[0]) is known[0]
    assert payloads.split(data[1]) is not known[1]
    assert payloads.size_bytes <= 2500


def test_one_that_is_bigger_than_the_bound_is_taken_apart_all_the_same():
    payloads = Payloads(max_bytes=10)

    for n in range(3):
        assert payloads.split(payload({"a.py": bytes([n]) * 100})).contents

    assert payloads.size_bytes == 100


def test_threads_may_share_it():
    payloads = Payloads(max_bytes=3000)
    data = [payload({f"{n}.py": bytes([n]) * 1000, "shared.py": b"s"}) for n in range(6)]
    seen: list[int] = []

    def work() -> None:
        for _ in range(20):
            seen.extend(len(payloads.split(one).contents) for one in data)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [2] * (4 * 20 * 6)
    assert payloads.size_bytes <= 3000


def broken(contents: dict[str, bytes]) -> str:
    raw = bytearray(base64.b64decode(payload(contents)))
    raw[60] ^= 0xFF
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "data",
    [
        "",
        "no base64!",
        "é",
        base64.b64encode(b"no archive").decode(),
        payload({}),
        payload({"/etc/x.py": b""}),
        payload({"../x.py": b""}),
        payload({"a/../x.py": b""}),
        payload({"a//x.py": b""}),
        payload({"a/": b""}),
        payload({"a\\x.py": b""}),
        payload({"x" * 301: b""}),
        payload({"a.py": b"a" * 100})[:-8],
        broken({"a.py": bytes(range(256)) * 4}),
    ],
)
def test_what_is_no_payload_is_refused(data: str):
    with pytest.raises(PayloadWrong):
        split(data)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(modules, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(modules, "MAX_PAYLOAD_BYTES", 1500)
    monkeypatch.setattr(modules, "MAX_FILES", 3)

    for contents in ({"a.py": b"a" * 1001}, {"a.py": b"a" * 800, "b.py": b"b" * 800}, dict.fromkeys("abcd", b"")):
        with pytest.raises(PayloadWrong):
            split(payload(contents))
