import re
from datetime import UTC, datetime, timedelta

import pytest

from annexfleet_controller.i18n import formats, readings
from annexfleet_controller.i18n.catalogues import CODES, language
from annexfleet_controller.zones import PROVINCE

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


def spaces(text: str) -> str:
    """With every kind of space as a plain one."""
    return re.sub(r"\s", " ", text)


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("cpu_used_ratio", 0.314, "31 %"),
        ("agent_cpu_ratio", 0.0042, "0,4 %"),
        ("disk_free_bytes", 21.34e9, "21,3 Go"),
        ("network_received_bytes_per_second", 82_000, "82 ko par seconde"),
        ("network_link_bits_per_second", 1e9, "1 000 Mbit/s"),
        ("portal_total_seconds", 0.41, "410 ms"),
        ("queue_longest_wait_seconds", 0.0, "0 s"),
        ("tray_media", "iso_a4_210x297mm", "A4"),
        ("queue_longest_wait_seconds", 4_990, "1 h 23 min"),
        ("temperature_celsius", 52.0, "52 °C"),
        ("wifi_signal_dbm", -61.0, "-61 dBm"),
        ("battery_on_mains", 1, "oui"),
        ("queue_waiting_count", 12.0, "12"),
        ("printer_state", "stopped", "arrêtée"),
        ("printer_causes", ["paper_jam", "toner_low"], "Bourrage papier, Cartouche bientôt vide"),
        ("printer_causes", [], "aucun"),
        ("printer_model", "HP stopped", "HP stopped"),
        ("portal_failed_stage", "tls", "chiffrement"),
        ("booted_at_seconds", NOW.timestamp(), "23 nov. 2026, 08:00:00"),
        ("booted_at_seconds", 9e15, "–"),
        ("something_new_bytes", 3e6, "3 Mo"),
        ("something_new", 3.14159, "3,14"),
        ("cpu_used_ratio", float("nan"), "inconnu"),
        ("disk_free_bytes", float("inf"), "inconnu"),
        ("queue_waiting_count", 10**400, "inconnu"),
        ("drives", ["vda 274877906944", "sda 1000204886016 Samsung SSD"], "vda 275 Go, sda 1 To Samsung SSD"),
        ("drives", ["vda unknown", "x", "y 99999999999999999999"], "vda unknown, x, y 99999999999999999999"),
    ],
)
def test_a_reading_in_words(metric: str, value: object, expected: str):
    assert spaces(readings.text(language("fr"), metric, value)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("code", CODES)
def test_digits_are_western_in_every_language(code: str):
    words = language(code)
    texts = [
        formats.number(words, 1_234_567.8), formats.percent(words, 0.31), formats.size(words, 3.2e9),
        formats.duration(words, 4_990), formats.celsius(words, 52.3), formats.moment(words, NOW),
        formats.day(words, NOW), formats.ago(words, NOW - timedelta(minutes=7), NOW),
    ]  # fmt: skip

    for text in texts:
        assert re.search(r"[0-9]", text), text
        assert not re.search(r"[\u0660-\u0669\u06f0-\u06f9]", text), text


def test_moments_are_those_of_morocco_whose_clock_moves_for_ramadan():
    # Until September 2026 Morocco was an hour ahead of UTC, except in Ramadan: 18 February to 19 March in 2026.
    in_ramadan = datetime(2026, 3, 1, 8, tzinfo=UTC)
    in_summer = datetime(2026, 6, 1, 8, tzinfo=UTC)

    assert "08:00" in formats.moment(language("fr"), NOW)
    assert "09:00" in formats.moment(language("fr"), in_summer)
    assert "08:00" in formats.moment(language("fr"), in_ramadan)


@pytest.mark.parametrize(
    ("code", "days", "expected"),
    [("en", 0, "13:05"), ("fr", 0, "13:05"), ("ar", 0, "13:05"), ("en", 1, "25 Nov 13:05"), ("fr", 1, "25 nov. 13:05")],
)
def test_a_moment_of_today_is_told_by_its_time_alone(code: str, days: int, expected: str):
    noon = datetime(2026, 11, 24, 13, 5, tzinfo=PROVINCE)

    assert formats.short_moment(language(code), noon + timedelta(days=days), noon) == expected


def test_the_days_of_the_week_begin_on_monday():
    assert formats.weekdays(language("fr"))[::6] == ["lundi", "dimanche"]
    assert formats.weekdays(language("ar"))[0] == "الاثنين"


@pytest.mark.parametrize(
    ("code", "days", "expected"),
    [("ar", 1, "يوم"), ("ar", 2, "يومان"), ("ar", 3, "3 أيام"), ("ar", 14, "14 يومًا"), ("en", 14, "14 days"),
     ("fr", 14, "14 j")],
)  # fmt: skip
def test_days_take_the_plural_of_their_number(code: str, days: int, expected: str):
    assert spaces(formats.duration(language(code), 86_400 * days)) == expected
