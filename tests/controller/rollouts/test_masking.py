"""Secrets go out of texts in every form in which programs write them."""

import base64
import json
import string
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drawing import examples

from annexfleet_controller.rollouts.masking import MASK, Mask, plain

SECRET = 'p@ss "wörd"\\with/all?'


@pytest.mark.parametrize(
    "shown",
    [
        SECRET, json.dumps(SECRET), json.dumps(SECRET, ensure_ascii=False), repr(SECRET), quote(SECRET),
        quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode(), f"x{SECRET}y",
        base64.b64encode(b"user:" + SECRET.encode()).decode(), SECRET[:4] + "\x1b[1m" + SECRET[4:],
        base64.b64encode(b"u:" + SECRET.encode() + b" and more").decode(),
    ],
)  # fmt: skip
def test_a_secret_is_masked_as_it_is_and_encoded(shown: str):
    masked = Mask([SECRET])(f"before {shown} after", at_most=1000)

    assert MASK in masked
    for form in (SECRET, json.dumps(SECRET)[1:-1], quote(SECRET), base64.b64encode(SECRET.encode()).decode()[:-4]):
        assert form not in masked


def test_secrets_within_structures_and_lines_of_keys_are_masked():
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQC7\n-----END KEY-----"
    mask = Mask([{"users": [{"password": "opensesame"}]}, key])

    assert "opensesame" not in mask("password=opensesame", at_most=100)
    assert "MIIEvQ" not in mask("+MIIEvQIBADANBgkqhkiG9w0BAQ", at_most=100)


def test_a_secret_is_masked_before_the_text_is_cut():
    assert "open" not in Mask(["opensesame"])("x" * 95 + "opensesame", at_most=100)


def test_direction_marks_and_escapes_cannot_disguise_a_line():
    assert plain("a\u202eb\x1b]0;title\x07c\x1b[2Jd\r\ne\x08") == "a\ufffdbcd\ne\ufffd"


@settings(max_examples=examples(50))
@given(
    st.text(string.ascii_letters + string.digits, min_size=6, max_size=40), st.text(max_size=60), st.text(max_size=60)
)
def test_no_text_around_a_secret_keeps_it_from_being_masked(secret: str, before: str, after: str):
    assert secret not in Mask([secret])(before + secret + after, at_most=10_000)
