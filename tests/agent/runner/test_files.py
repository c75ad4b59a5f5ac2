import hashlib
import os
import resource
import subprocess
import sys

import pytest

from annexfleet_agent.runner.files import Fetch, FileFailed, Put


def names(directory):
    return [path.name for path in directory.iterdir()]


def put(path, content, **other):
    fields = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} | other
    made = Put(str(path), **fields)
    for at in range(0, len(content), 1000):
        made.write(content[at : at + 1000])
    return made.finish()


def error_of(act):
    with pytest.raises(FileFailed) as failed:
        act()
    return failed.value.error


def fetched(path):
    fetch = Fetch(str(path))
    content = b"".join(iter(fetch.read, b""))
    fetch.close()
    return content, fetch.sha256


def test_a_file_is_put_whole_for_its_owner_alone(tmp_path):
    content = os.urandom(12_345)
    before = os.umask(0o777)
    try:
        digest = put(tmp_path / "file", content)
    finally:
        os.umask(before)

    assert (tmp_path / "file").read_bytes() == content
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert digest == hashlib.sha256(content).hexdigest()
    assert names(tmp_path) == ["file"]


def test_an_empty_file_can_be_put_and_fetched(tmp_path):
    put(tmp_path / "file", b"")

    assert fetched(tmp_path / "file") == (b"", hashlib.sha256(b"").hexdigest())


def test_what_stood_there_stays_until_the_new_one_is_whole(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"old")
    made = Put(str(file), size_bytes=3, sha256=hashlib.sha256(b"new").hexdigest())
    made.write(b"ne")
    assert file.read_bytes() == b"old"
    made.write(b"w")
    made.finish()

    assert file.read_bytes() == b"new"


def test_a_digest_that_differs_leaves_no_trace(tmp_path):
    (tmp_path / "file").write_bytes(b"old")

    assert error_of(lambda: put(tmp_path / "file", b"new", sha256="0" * 64)) == "digest_differs"
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("size", [2, 4])
def test_more_or_less_than_was_announced_is_refused(tmp_path, size):
    assert error_of(lambda: put(tmp_path / "file", b"new", size_bytes=size)) == "digest_differs"
    assert names(tmp_path) == []


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")

    put(tmp_path / "link", b"new")

    assert (tmp_path / "target").read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("relative", "malformed"),
        ("", "malformed"),
        ("/", "malformed"),
        ("/tmp/", "malformed"),
        ("/tmp/a\0b", "malformed"),
        ("/tmp", "failed"),
        ("/no/such/directory/file", "not_found"),
        ("/dev/null/file", "not_found"),
        ("/proc/nothing", "not_found"),
    ],
)
def test_a_path_that_cannot_be_is_said_why(path, error):
    assert error_of(lambda: Put(path, size_bytes=0, sha256="")) == error


@pytest.mark.parametrize(
    ("path", "error"),
    [("relative", "malformed"), ("/no/such/file", "not_found"), ("/tmp", "failed"), ("/dev/zero", "failed")],
)
def test_what_cannot_be_fetched_is_said_why(path, error):
    assert error_of(lambda: Fetch(path)) == error


def test_a_named_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert error_of(lambda: Fetch(str(tmp_path / "pipe"))) == "failed"


def test_what_is_bigger_than_the_disk_is_refused_before_it_travels(tmp_path):
    assert error_of(lambda: Put(str(tmp_path / "file"), size_bytes=10**15, sha256="")) == "no_space"
    assert names(tmp_path) == []


def test_a_file_that_grows_over_a_limit_is_no_space_and_leaves_no_trace(tmp_path):
    code = f"""
import resource, hashlib
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
from annexfleet_agent.runner.files import Put, FileFailed
made = Put({str(tmp_path / "file")!r}, size_bytes=50_000, sha256="0" * 64)
try:
    for _ in range(50): made.write(b"x" * 1000)
except FileFailed as failed:
    print(failed.error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "no_space"
    assert names(tmp_path) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 10_000


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_meanwhile_is_no_space_and_leaves_no_trace(small_disk):
    content = os.urandom(100_000)
    made = Put(str(small_disk / "file"), size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    other = small_disk / "other"

    def fill():
        other.write_bytes(b"x" * 200_000)
        made.write(content)

    assert error_of(fill) == "no_space"
    assert names(small_disk) == ["other"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_may_not_be_written_is_denied(tmp_path):
    tmp_path.chmod(0o500)

    assert error_of(lambda: put(tmp_path / "file", b"x")) == "denied"
