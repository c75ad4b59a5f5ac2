import pytest

from annexfleet_controller.access import passwords


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("short", "too_short"),
        ("x" * 201, "too_long"),
        ("aaaaaaaaaaaaaa", "too_common"),
        ("Password123456", "too_common"),
        ("motdepasse2026!", "too_common"),
        ("123456789012", "too_common"),
        ("clerk-est-arrivee", "holds_name"),
        ("quatre chevaux bleus", None),
        ("أربعة خيول زرقاء", None),
    ],
)
def test_what_a_new_password_must_be(password: str, expected: str | None):
    assert passwords.weakness(password, name="clerk") == expected


def test_a_one_time_password_is_strong_and_never_the_same():
    first, second = passwords.one_time(), passwords.one_time()

    assert first != second
    assert passwords.weakness(first, name="clerk") is None


def test_only_the_right_password_fits_and_nobody_has_none():
    hashed = passwords.hashed("quatre chevaux bleus")

    assert hashed.startswith("$argon2id$")
    assert passwords.fits(hashed, "quatre chevaux bleus")
    assert not passwords.fits(hashed, "quatre chevaux verts")
    assert not passwords.fits(None, "quatre chevaux bleus")
    assert not passwords.fits("not a hash", "quatre chevaux bleus")
