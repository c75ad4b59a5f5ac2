"""A token's text survives copying, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.protocol.enrolment import TokenText, TokenWrong, decode_token, encode_token

TOKEN = TokenText("abcdefghijklm", b"s" * 32, "https://annexe.example.ma:8443", b"p" * 32)


@given(
    st.builds(
        TokenText,
        id=st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=1, max_size=16),
        seed=st.binary(min_size=32, max_size=32),
        enrol_url=st.from_regex(r"https://[a-z.]{1,40}(:[0-9]{1,5})?", fullmatch=True),
        authority_pin=st.binary(min_size=32, max_size=32),
    )
)
def test_a_token_reads_as_it_was_written(token: TokenText):
    assert decode_token(encode_token(token)) == token


def test_a_token_broken_over_lines_is_still_one():
    text = encode_token(TOKEN)

    assert decode_token(f"  {text[:40]}\n{text[40:80]} \r\n\t{text[80:]}\n") == TOKEN


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_one_wrong_character_is_noticed(place: int, wrong: str):
    text = encode_token(TOKEN)
    place %= len(text)
    spoiled = text[:place] + wrong + text[place + 1 :]

    if "".join(spoiled.split()) == text:
        assert decode_token(spoiled) == TOKEN
    else:
        with pytest.raises(TokenWrong):
            decode_token(spoiled)


@given(st.text() | st.text().map("aft1.".__add__) | st.binary().map(lambda b: "aft1." + b.hex()))
def test_no_other_text_is_a_token(text: str):
    with pytest.raises(TokenWrong):
        decode_token(text)


@pytest.mark.parametrize(
    "token",
    [
        TokenText("a", b"short", "https://x", b"p" * 32),
        TokenText("a", b"s" * 32, "http://x", b"p" * 32),
        TokenText("a", b"s" * 32, "https://x", b"short"),
    ],
)
def test_a_token_with_wrong_contents_is_refused(token: TokenText):
    with pytest.raises(TokenWrong):
        decode_token(encode_token(token))
