"""The cache of modules' files on a device: what it asks for, what it believes, and what it lets go of."""

import hashlib
import os
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from annexfleet_agent.protocol.envelope import Module, ModuleFile
from annexfleet_agent.protocol.requests import manifest_of
from annexfleet_agent.runner import modules
from annexfleet_agent.runner.modules import ManifestUnknown, ModuleCache, ModuleIncomplete, ModuleWrong, unpacked


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def module_of(contents: dict[str, bytes]) -> Module:
    files = [ModuleFile(name, digest_of(content)) for name, content in contents.items()]
    return Module(files=files, fqn="ansible.modules.x", params="{}", profile="legacy")


CONTENTS = {"ansible/__init__.py": b"", "ansible/modules/__init__.py": b"", "ansible/modules/x.py": b"print('x')\n"}
EMPTY, X = digest_of(b""), digest_of(b"print('x')\n")


def fill(cache: ModuleCache, contents: dict[str, bytes]) -> Path:
    module = module_of(contents)
    by_digest = {digest_of(content): content for content in contents.values()}
    for digest in cache.missing(module):
        cache.add(digest, by_digest[digest])
    return cache.archive(module)


def test_what_is_missing_is_asked_for_once_and_then_no_more(tmp_path: Path):
    cache = ModuleCache(tmp_path)
    module = module_of(CONTENTS)

    assert cache.missing(module) == [EMPTY, X]
    with pytest.raises(ModuleIncomplete) as told:
        cache.archive(module)
    assert told.value.missing == [EMPTY, X]
    cache.add(EMPTY, b"")
    assert cache.missing(module) == [X]
    cache.add(X, b"print('x')\n")

    assert cache.missing(module) == []
    with zipfile.ZipFile(cache.archive(module)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == CONTENTS
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_another_process_finds_what_was_kept(tmp_path: Path):
    path = fill(ModuleCache(tmp_path), CONTENTS)

    cache = ModuleCache(tmp_path)

    assert cache.missing(module_of(CONTENTS)) == []
    assert cache.archive(module_of(CONTENTS)) == path
    assert cache.missing(module_of(CONTENTS | {"ansible/modules/x.py": b"new"})) == [digest_of(b"new")]


def test_the_same_files_in_another_order_are_the_same_archive(tmp_path: Path):
    cache = ModuleCache(tmp_path)

    assert fill(cache, CONTENTS) == fill(cache, dict(reversed(CONTENTS.items())))
    assert fill(cache, {"renamed.py": b""}) != fill(cache, {"other.py": b""})


def test_a_content_that_does_not_fit_its_digest_is_not_taken(tmp_path: Path):
    cache = ModuleCache(tmp_path)

    with pytest.raises(ModuleWrong):
        cache.add(X, b"print('y')\n")

    assert cache.missing(module_of(CONTENTS)) == [EMPTY, X]


@pytest.mark.parametrize("damage", [b"", b"print('y')\n", b"print('x')\nmore"])
def test_a_damaged_file_is_asked_for_again(tmp_path: Path, damage: bytes):
    module = module_of(CONTENTS)
    archive = fill(ModuleCache(tmp_path), CONTENTS)
    archive.unlink()
    (tmp_path / "files" / X).write_bytes(damage)

    cache = ModuleCache(tmp_path)

    assert cache.missing(module) == [X]
    cache.add(X, b"print('x')\n")
    assert cache.archive(module) == archive


def test_a_file_that_is_damaged_while_we_run_is_noticed(tmp_path: Path):
    cache = ModuleCache(tmp_path)
    fill(cache, CONTENTS).unlink()
    path = tmp_path / "files" / X
    path.write_bytes(b"print('y')\n")
    os.utime(path, ns=(0, 5))

    assert cache.missing(module_of(CONTENTS)) == [X]


def test_a_link_is_no_file_of_the_cache(tmp_path: Path):
    cache = ModuleCache(tmp_path / "cache")
    (tmp_path / "elsewhere").write_bytes(b"print('x')\n")
    (tmp_path / "cache" / "files" / X).symlink_to(tmp_path / "elsewhere")

    assert X in cache.missing(module_of(CONTENTS))


DAMAGES = ["cut off", "another content", "another name", "one more", "one twice", "deflated", "garbage", "empty"]


def damage(path: Path, how: str) -> None:
    """Of the archive that `CONTENTS` make."""
    whole = path.read_bytes()
    if how in ("cut off", "garbage", "empty"):
        path.write_bytes({"cut off": whole[:-30], "garbage": b"no archive" * 99, "empty": b""}[how])
        return
    held = list(CONTENTS.items())
    if how == "another content":
        held[-1] = (held[-1][0], b"print('y')\n")
    elif how == "another name":
        held[-1] = ("ansible/modules/y.py", held[-1][1])
    elif how == "one more":
        held.append(("sitecustomize.py", b""))
    elif how == "one twice":
        held.insert(0, (held[-1][0], b"print('y')\n"))
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if how == "deflated" else zipfile.ZIP_STORED) as archive,
    ):
        for name, content in held:
            archive.writestr(name, content)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_archive_is_made_anew(tmp_path: Path, how: str):
    module = module_of(CONTENTS)
    path = fill(ModuleCache(tmp_path), CONTENTS)
    damage(path, how)

    cache = ModuleCache(tmp_path)

    assert cache.missing(module) == []
    with zipfile.ZipFile(cache.archive(module)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == CONTENTS


@pytest.mark.parametrize(
    "name", ["/etc/x.py", "../x.py", "a/../x.py", "a//x.py", "a/./x.py", "", ".", "a/", "a\\x.py", "a\0.py", "a\n.py"]
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str):
    cache = ModuleCache(tmp_path)
    module = replace(module_of(CONTENTS), files=[ModuleFile(name, X)])

    for ask in (cache.missing, cache.archive):
        with pytest.raises(ModuleWrong):
            ask(module)


def test_a_module_without_files_and_one_with_a_file_twice_are_refused(tmp_path: Path):
    cache = ModuleCache(tmp_path)

    for files in ([], [ModuleFile("a.py", X), ModuleFile("a.py", EMPTY)]):
        with pytest.raises(ModuleWrong):
            cache.missing(replace(module_of(CONTENTS), files=files, manifest=manifest_of(files)))


# -- modules of which only the manifest is told


def told(contents: dict[str, bytes]) -> Module:
    whole = module_of(contents)
    return replace(whole, files=[], manifest=manifest_of(whole.files))


def test_what_a_known_manifest_means_is_found_also_by_another_process(tmp_path: Path):
    cache = ModuleCache(tmp_path)
    path = fill(cache, CONTENTS)

    for one in (cache, ModuleCache(tmp_path)):
        module = one.listed(told(CONTENTS))
        assert {file.name: file.sha256 for file in module.files} == {n: digest_of(c) for n, c in CONTENTS.items()}
        assert one.missing(module) == []
        assert one.archive(module) == path


def test_a_module_that_comes_with_its_files_needs_none_of_ours(tmp_path: Path):
    assert ModuleCache(tmp_path).listed(module_of(CONTENTS)) == module_of(CONTENTS)


def test_a_manifest_of_which_there_are_only_files_is_not_known(tmp_path: Path):
    cache = ModuleCache(tmp_path)
    path = fill(cache, CONTENTS)
    path.unlink()

    with pytest.raises(ManifestUnknown):
        cache.listed(told(CONTENTS))
    with pytest.raises(ManifestUnknown):
        cache.listed(told(CONTENTS | {"more.py": b""}))

    assert fill(cache, CONTENTS) == path
    assert len(cache.listed(told(CONTENTS)).files) == len(CONTENTS)


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("is_another_process", [True, False])
def test_a_damaged_archive_is_known_no_more_and_goes(tmp_path: Path, how: str, is_another_process: bool):
    cache = ModuleCache(tmp_path)
    path = fill(cache, CONTENTS)
    damage(path, how)
    os.utime(path, ns=(0, 5))

    if is_another_process:
        cache = ModuleCache(tmp_path)

    with pytest.raises(ManifestUnknown):
        cache.listed(told(CONTENTS))
    assert not path.exists()


def test_any_bit_of_an_archive_that_flips_is_noticed_or_changes_nothing(tmp_path: Path):
    path = fill(ModuleCache(tmp_path), CONTENTS)
    whole = path.read_bytes()
    files = ModuleCache(tmp_path).listed(told(CONTENTS)).files
    cache = ModuleCache(tmp_path)
    unknown = 0

    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        os.utime(path, ns=(0, bit + 1))
        try:
            assert cache.listed(told(CONTENTS)).files == files
        except ManifestUnknown:
            unknown += 1

    assert unknown > len(whole)  # dates and attributes mean nothing


def test_files_that_do_not_fit_their_manifest_are_refused(tmp_path: Path):
    cache = ModuleCache(tmp_path)
    fill(cache, CONTENTS)
    for module in (
        replace(module_of(CONTENTS), manifest="ab" * 32),
        replace(module_of(CONTENTS | {"more.py": b""}), manifest=told(CONTENTS).manifest),
        replace(module_of({"ansible/modules/x.py": b"y"}), manifest=told(CONTENTS).manifest),
    ):
        for ask in (cache.missing, cache.archive):
            with pytest.raises(ModuleWrong):
                ask(cache.listed(module))


def contents_of(number: int) -> dict[str, bytes]:
    return {"shared.py": b"s" * 1000, f"m{number}.py": bytes([number]) * 1000}


def test_it_stays_below_its_bound_and_archives_go_first(tmp_path: Path):
    cache = ModuleCache(tmp_path, max_bytes=30_000)

    for number in range(12):
        fill(cache, contents_of(number))
        assert cache.size_bytes <= 30_000

    assert cache.missing(module_of(contents_of(0))) == []
    archives = list((tmp_path / "archives").iterdir())
    assert 4 <= len(archives) < 12
    held = sum(path.stat().st_size for path in (*archives, *(tmp_path / "files").iterdir()))
    assert held == cache.size_bytes


def test_the_longest_unused_goes_first_also_after_a_restart(tmp_path: Path):
    cache = ModuleCache(tmp_path)
    paths = [fill(cache, contents_of(number)) for number in range(6)]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, ns=(10**9, 10**9 * (age + 1)))  # the first is the youngest
    cache = ModuleCache(tmp_path)
    cache.archive(module_of(contents_of(5)))  # and now the last is

    cache = ModuleCache(tmp_path, max_bytes=cache.size_bytes - 1)
    cache.add(EMPTY, b"")

    assert [path.exists() for path in paths] == [True, True, True, True, False, True]


def test_what_another_process_left_half_written_goes(tmp_path: Path):
    fill(ModuleCache(tmp_path), CONTENTS)
    (tmp_path / "files" / ".half").write_bytes(b"ha")

    cache = ModuleCache(tmp_path)

    assert not (tmp_path / "files" / ".half").exists()
    assert cache.missing(module_of(CONTENTS)) == []


def test_nobody_else_may_read_it(tmp_path: Path):
    cache = ModuleCache(tmp_path / "cache")
    path = fill(cache, CONTENTS)

    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


# -- what the controller sends


def packed(*contents: bytes) -> bytes:
    return zlib.compress(b"".join(struct.pack(">I", len(content)) + content for content in contents))


def test_what_was_packed_is_unpacked_in_the_order_of_asking():
    assert list(unpacked(packed(b"a" * 100_000, b"", b"c"), ["1", "2", "3"])) == [
        ("1", b"a" * 100_000), ("2", b""), ("3", b"c"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"garbage",
        packed(b"a", b"b")[:-1],
        packed(b"a", b"b") + b"x",
        packed(b"a"),
        packed(b"a", b"b", b"c"),
        zlib.compress(b"\0\0\0\x01a\xff\xff\xff\xffb"),
        zlib.compress(b"\0\0\0\x01a\0\0"),
    ],
)
def test_what_was_not_packed_so_is_refused(sent: bytes):
    with pytest.raises(ModuleWrong):
        list(unpacked(sent, ["1", "2"]))


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(modules, "MAX_UNPACKED_BYTES", 1000)

    with pytest.raises(ModuleWrong):
        list(unpacked(packed(b"a" * 2000), ["1"]))
