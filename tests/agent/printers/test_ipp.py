"""IPP's encoding: round trips, and bytes that are out to hurt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.printers import device, ipp, spooler
from annexfleet_agent.printers.failure import Failed

_names = st.text(alphabet="abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=30)
_numbers = st.integers(-(2**31), 2**31 - 1)
_words = st.text(max_size=60)


def _attribute(tag, values):
    return st.builds(ipp.Attribute, _names, st.just(tag), st.lists(values, min_size=1, max_size=4))


_members = st.dictionaries(
    _names, st.lists(st.one_of(_numbers, st.booleans(), _words, st.none()), min_size=1, max_size=3)
)
_collections = st.recursive(
    _members, lambda inner: st.dictionaries(_names, st.lists(inner, min_size=1, max_size=2), max_size=2), max_leaves=5
)
_attributes = st.one_of(
    _attribute(ipp.INTEGER, _numbers),
    _attribute(ipp.ENUM, _numbers),
    _attribute(ipp.BOOLEAN, st.booleans()),
    _attribute(ipp.KEYWORD, _words),
    _attribute(ipp.OCTETS, st.binary(max_size=60)),
    _attribute(ipp.RANGE, st.tuples(_numbers, _numbers)),
    _attribute(ipp.RESOLUTION, st.tuples(_numbers, _numbers, st.integers(-128, 127))),
    _attribute(ipp.NO_VALUE, st.none()),
    _attribute(ipp.COLLECTION, _collections),
)
_groups = st.lists(
    st.tuples(
        st.sampled_from([ipp.OPERATION, ipp.JOB, ipp.PRINTER]),
        st.lists(_attributes, max_size=5, unique_by=lambda attribute: attribute.name),
    ),
    max_size=4,
)


@given(st.integers(0, 0xFFFF), _groups)
def test_what_is_encoded_comes_back(status, groups):
    answer = ipp.parse(ipp.encode((2, 0), status, 7, groups))

    assert (answer.version, answer.status, answer.request_id) == ((2, 0), status, 7)
    assert answer.groups == [ipp.Group(tag, {a.name: list(a.values) for a in attributes}) for tag, attributes in groups]


@given(st.binary(max_size=400))
def test_any_bytes_are_an_answer_or_refused(message):
    _parse_or_refuse(message)


@given(_groups, st.data())
def test_any_damaged_answer_is_an_answer_or_refused(groups, data):
    message = bytearray(ipp.encode((2, 0), 0, 1, groups))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))

    _parse_or_refuse(bytes(message))


@given(_groups, st.data())
def test_an_answer_cut_short_is_refused(groups, data):
    message = ipp.encode((2, 0), 0, 1, groups)
    cut = message[: data.draw(st.integers(0, len(message) - 1))]

    with pytest.raises(Failed) as failed:
        ipp.parse(cut)

    assert failed.value.code == "malformed"


def _parse_or_refuse(message):
    try:
        ipp.parse(message)
    except Failed as failed:
        assert failed.code == "malformed"  # noqa: PT017


_read_names = st.sampled_from(
    [*device._WANTED, *spooler._QUEUE_WANTED, *spooler.JOB_WANTED, "media-source", "printer-name"]
)
_confusing = st.lists(
    st.tuples(
        st.sampled_from([ipp.JOB, ipp.PRINTER]),
        st.lists(
            st.builds(lambda attribute, name: attribute._replace(name=name), _attributes, _read_names), max_size=12
        ),
    ),
    max_size=3,
)


@given(_confusing)
def test_attributes_of_any_type_are_understood_or_left_out(groups):
    answer = ipp.parse(ipp.encode((2, 0), 0, 1, groups))

    for attributes in answer.of(ipp.PRINTER):
        seen = device.seen(attributes, "device_ipp")
        assert all(supply.level is None or 0 <= supply.level <= 1 for supply in seen.supplies)
        spooler._queue(attributes, None)
    spooler.by_queue(answer.of(ipp.JOB), 1000.0)


HEADER = b"\x02\x00\x00\x00\x00\x00\x00\x01"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", b""),
        ("a web page", b"<html><body>Hello</body></html>"),
        ("no end", HEADER + b"\x04"),
        ("a value before a group", HEADER + b"\x21\x00\x01a\x00\x04\x00\x00\x00\x01\x03"),
        ("a value without a name", HEADER + b"\x04\x21\x00\x00\x00\x04\x00\x00\x00\x01\x03"),
        ("an integer of three bytes", HEADER + b"\x04\x21\x00\x01a\x00\x03\x00\x00\x01\x03"),
        ("a length past the end", HEADER + b"\x04\x44\x00\x01a\xff\xff\x03"),
        ("an unknown version", b"\x09" + HEADER[1:] + b"\x03"),
        ("a collection without an end", HEADER + b"\x04\x34\x00\x01a\x00\x00\x03"),
        ("a member without a name", HEADER + b"\x04\x34\x00\x01a\x00\x00\x21\x00\x00\x00\x04\x00\x00\x00\x01\x03"),
        ("a language cut short", HEADER + b"\x04\x35\x00\x01a\x00\x03\x00\x09e\x03"),
    ],
)
def test_this_is_refused(name, message):
    with pytest.raises(Failed) as failed:
        ipp.parse(message)

    assert failed.value.code == "malformed"


def test_nesting_is_bounded():
    deep = {"a": [1]}
    for _ in range(20):
        deep = {"a": [deep]}
    message = ipp.encode((2, 0), 0, 1, [(ipp.PRINTER, [ipp.Attribute("media-col", ipp.COLLECTION, [deep])])])

    with pytest.raises(Failed, match="deep"):
        ipp.parse(message)


def test_text_with_a_language_is_its_text():
    value = b"\x00\x02fr\x00\x05Plein"
    message = HEADER + b"\x04\x35\x00\x01a" + len(value).to_bytes(2, "big") + value + b"\x03"

    assert ipp.parse(message).of(ipp.PRINTER) == [{"a": ["Plein"]}]


def test_a_request_begins_as_the_standard_wants_it():
    request = ipp.parse(ipp.request(ipp.GET_JOBS, "ipp://localhost/"))

    assert list(request.groups[0].attributes) == ["attributes-charset", "attributes-natural-language", "printer-uri"]
    assert request.status == ipp.GET_JOBS
