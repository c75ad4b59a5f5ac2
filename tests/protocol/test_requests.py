"""Requests and missing files as they travel inside a session."""

import hashlib
import os
import zlib

import pytest
from msgspec.structs import replace

from annexfleet_agent.protocol.channel import DATA_BYTES, Part
from annexfleet_agent.protocol.envelope import Malformed, Module, ModuleFile, Request
from annexfleet_agent.protocol.requests import (
    MAX_REQUEST_BYTES,
    FilesGathering,
    MissingGathering,
    RequestGathering,
    RequestTooBig,
    deflated_files,
    manifest_of,
    missing_parts,
    request_parts,
)


def digests(count: int) -> list[str]:
    return [hashlib.sha256(str(n).encode()).hexdigest() for n in range(count)]


def request(params: str = "{}", files: int = 60) -> Request:
    listed = [ModuleFile(f"ansible/module_utils/file_{n}.py", digest) for n, digest in enumerate(digests(files))]
    return Request(
        op="module", module=Module(files=listed, fqn="ansible.modules.stat", params=params, profile="legacy")
    )


def told_by_manifest(request: Request) -> Request:
    assert request.module is not None
    return replace(request, module=replace(request.module, files=[], manifest=manifest_of(request.module.files)))


def test_a_usual_module_fits_into_one_small_part():
    (part,) = request_parts(3, request())

    assert (part.kind, part.request, part.last) == ("request", 3, True)
    assert len(part.data) < 3000
    assert RequestGathering().add(part) == request()


def test_one_that_tells_only_its_manifest_is_smaller_by_far():
    told = told_by_manifest(request())
    (part,) = request_parts(3, told)

    assert len(part.data) < 200
    assert RequestGathering().add(part) == told


def test_a_manifest_is_that_of_all_names_and_contents_in_any_order():
    files = [ModuleFile(name, digest) for name, digest in zip(("a", "b", "c"), digests(3), strict=True)]
    one, two, three = files

    assert manifest_of(files) == manifest_of(reversed(files))
    others = [files[:2], [*files, three], [one, two, ModuleFile("d", three.sha256)], [one, two, ModuleFile("c", "0")]]
    swapped = [ModuleFile(one.name, two.sha256), ModuleFile(two.name, one.sha256), three]
    assert len({manifest_of(other) for other in (files, *others, swapped, [])}) == 7


def test_the_way_a_manifest_is_made_never_changes():
    """A device names its archives by it."""
    assert manifest_of([ModuleFile("b.py", "1" * 64), ModuleFile("a.py", "0" * 64)]) == (
        hashlib.sha256(f'[["a.py","{"0" * 64}"],["b.py","{"1" * 64}"]]'.encode()).hexdigest()
    )


@pytest.mark.parametrize(
    "told", ["", '"files":[],', '"manifest":"",', '"manifest":"abc",', f'"manifest":"{"A" * 64}",']
)
def test_a_module_of_which_nothing_is_told_is_none(told: str):
    json = f'{{"op":"module","module":{{{told}"fqn":"ansible.modules.x","params":"{{}}","profile":"legacy"}}}}'
    with pytest.raises(Malformed):
        RequestGathering().add(Part("request", 1, zlib.compress(json.encode())))
    with pytest.raises(ValueError, match="without files"):
        Module(fqn="ansible.modules.x", params="{}", profile="legacy")


def test_a_big_one_is_cut_and_put_together():
    big = request(params='"' + os.urandom(100_000).hex() + '"')
    parts = request_parts(3, big)
    gathering = RequestGathering()

    came = [gathering.add(part) for part in parts]

    assert len(parts) > 1
    assert all(len(part.data) <= DATA_BYTES for part in parts)
    assert came == [None] * (len(parts) - 1) + [big]


def test_one_that_no_device_would_take_is_not_sent():
    with pytest.raises(RequestTooBig):
        request_parts(1, request(params="x" * MAX_REQUEST_BYTES))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", zlib.compress(b"{}")[:-1], zlib.compress(b"{}"), zlib.compress(b'{"op":"exec"}') + b"x",
     zlib.compress(bytes(MAX_REQUEST_BYTES + 1))],
    ids=["nothing", "plain", "cut", "no request", "more", "bomb"],
)  # fmt: skip
def test_what_is_no_request_is_told(data: bytes):
    with pytest.raises(Malformed):
        RequestGathering().add(Part("request", 1, data))


def test_missing_files_are_asked_for_and_sent():
    asked = digests(1900)
    gathering = MissingGathering()
    heard = [gathering.add(part) for part in missing_parts(1, asked)]
    contents = [os.urandom(n * 10) for n in range(50)]

    stream = deflated_files(contents)
    files = FilesGathering(50)
    got = [
        files.add(Part("input", 1, stream[at : at + 999], at + 999 >= len(stream))) for at in range(0, len(stream), 999)
    ]

    assert heard == [None, asked]
    assert got[-1] == contents


def test_other_files_than_those_asked_for_are_no_answer():
    stream = deflated_files([b"one", b"two"])

    for count, data in (
        (1, stream),
        (3, stream),
        (2, stream[:-3]),
        (1, zlib.compress(b"\0\0\0\7one")),
        (1, zlib.compress(b"\0")),
    ):
        with pytest.raises(Malformed):
            FilesGathering(count).add(Part("input", 1, data))


def test_half_a_digest_is_no_question():
    with pytest.raises(Malformed):
        MissingGathering().add(Part("missing", 1, b"x" * 33))
