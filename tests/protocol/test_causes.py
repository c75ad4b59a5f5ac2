"""Every row of the printer causes' table, by every source that can name it."""

# ruff: noqa: E501  # a table is read along its rows

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.protocol import causes

# id, IPP keywords as devices say them, SNMP bits, doubtful SNMP bits, alert codes, Windows bits, blocks, who
TABLE = [
    ("paper_empty", ["media-empty", "media-empty-warning", "media-path-input-empty-error"], [1, 13], [], [808], [16], "yes", "staff"),
    ("paper_low", ["media-low", "media-low-report"], [], [0], [807], [], "no", "staff"),
    ("paper_wrong", ["media-needed", "input-manual-input-request", "input-media-size-change", "input-media-type-change-warning"], [], [], [802, 803, 804, 805, 806, 809, 810, 813], [32, 64], "job", "staff"),
    ("paper_jam", ["media-jam", "media-jam-warning", "stapler-jam-error", "input-feed-error", "trimmer-jam"], [5], [], [8], [8], "yes", "staff"),
    ("cover_open", ["cover-open", "door-open-report", "interlock-open", "stacker-cover-open-error"], [4], [], [3, 5, 501], [4194304], "yes", "staff"),
    ("tray_missing", ["input-tray-missing"], [8], [], [801], [], "maybe", "staff"),
    ("tray_failure", ["input-tray-elevation-failure", "input-tray-position-failure-error", "input-pick-roller-worn"], [], [], [811, 812], [], "maybe", "technician"),
    ("output_full", ["output-area-full", "output-area-full-warning"], [12], [], [903], [2048], "yes", "staff"),
    ("output_almost_full", ["output-area-almost-full"], [11], [], [902], [], "no", "staff"),
    ("output_tray_missing", ["output-tray-missing-error"], [9], [], [901], [], "maybe", "staff"),
    ("toner_empty", ["toner-empty", "marker-supply-empty-error", "marker-ink-empty", "marker-print-ribbon-empty"], [], [3], [1101, 1102, 1103], [262144], "yes", "staff"),
    ("toner_low", ["toner-low", "toner-low-report", "marker-supply-low-warning", "marker-ink-almost-empty"], [], [2], [1104, 1105, 1106], [131072], "no", "technician"),
    ("cartridge_missing", ["marker-supply-missing", "marker-toner-cartridge-missing-error"], [10], [], [1115], [], "yes", "staff"),
    ("waste_almost_full", ["marker-waste-almost-full", "marker-waste-toner-receptacle-almost-full", "waste-receptacle-almost-full"], [], [], [1107, 1108], [], "no", "technician"),
    ("waste_full", ["marker-waste-full-warning", "marker-waste-ink-receptacle-full"], [], [], [1109, 1110], [], "yes", "technician"),
    ("drum_near_end", ["opc-near-eol", "cleaner-life-almost-over"], [], [], [1111], [], "no", "technician"),
    ("drum_end", ["opc-life-over-warning", "cleaner-life-over"], [], [], [1112], [], "maybe", "technician"),
    ("developer", ["developer-low", "developer-empty-error"], [], [], [1113, 1114], [], "maybe", "technician"),
    ("fuser_fault", ["fuser-over-temp", "fuser-under-temp", "marker-fuser-thermistor-failure"], [], [], [1001, 1002, 1003, 1004], [], "yes", "technician"),
    ("duplex_problem", ["media-path-cannot-duplex-media-selected"], [], [], [1304], [], "job", "staff"),
    ("unreachable", ["connecting-to-device", "timed-out", "offline-report"], [], [6], [], [128, 4096], "yes", "staff"),
    ("powered_off", ["shutdown", "power-down", "deactivated"], [], [], [504], [], "yes", "staff"),
    ("queue_paused", ["paused", "moving-to-paused", "hold-new-jobs"], [], [], [], [1], "yes", "auto"),
    ("job_stuck", [], [], [], [], [], "yes", "auto"),
    ("queue_rejecting", [], [], [], [], [], "yes", "technician"),
    ("spool_full", ["spool-area-full"], [], [], [34], [2097152], "yes", "technician"),
    ("partly_stopped", ["stopped-partly", "stopping"], [], [], [22], [], "partly", "technician"),
    ("service_needed", ["service-needed", "motor-failure", "stapler-motor-failure", "other", "other-error"], [], [7], [29, 30, 33, 37, 38], [2, 1048576], "maybe", "technician"),
    ("driver_problem", ["cups-missing-filter-warning", "interpreter-resource-unavailable", "document-format-error"], [], [], [1507], [524288], "job", "technician"),
    ("config_changed", ["configuration-change", "input-configuration-change-report"], [], [], [7], [], "no", "it"),
    ("sleep_or_warmup", ["marker-power-saver", "fuser-warming-up-report"], [], [], [23, 24], [16777216, 65536], "no", "nobody"),
    ("unknown_reason", ["flux-capacitor-low", "other-warning", "other-report"], [], [], [9999], [8388608], "maybe", "it"),
]  # fmt: skip

KEYWORDS = [(row[0], keyword) for row in TABLE for keyword in row[1]]
BITS = [(row[0], bit) for row in TABLE for bit in row[2]]
DOUBTFUL_BITS = [(row[0], bit) for row in TABLE for bit in row[3]]
ALERT_CODES = [(row[0], code) for row in TABLE for code in row[4]]
WINDOWS_BITS = [(row[0], bit) for row in TABLE for bit in row[5]]


def error_state(*bits: int) -> bytes:
    return sum(0x8000 >> bit for bit in bits).to_bytes(2, "big")


def test_the_table_has_every_cause_once():
    assert [row[0] for row in TABLE] == list(causes.CAUSES)
    assert len(causes.CAUSES) == 32


@pytest.mark.parametrize(("cause", "keyword"), KEYWORDS)
def test_an_ipp_keyword_has_its_cause(cause, keyword):
    assert causes.from_ipp([keyword]) == [cause]


@pytest.mark.parametrize(("cause", "bit"), BITS)
def test_an_snmp_bit_has_its_cause(cause, bit):
    assert causes.from_snmp_bits(error_state(bit)) == [cause]


@pytest.mark.parametrize(("cause", "bit"), DOUBTFUL_BITS)
def test_a_doubtful_snmp_bit_is_believed_only_on_request(cause, bit):
    assert causes.from_snmp_bits(error_state(bit)) == []
    assert causes.from_snmp_bits(error_state(bit), doubtful=True) == [cause]


@pytest.mark.parametrize(("cause", "code"), ALERT_CODES)
def test_an_alert_code_has_its_cause(cause, code):
    assert causes.from_alert_codes([code]) == [cause]


@pytest.mark.parametrize(("cause", "bit"), WINDOWS_BITS)
def test_a_windows_bit_has_its_cause(cause, bit):
    assert causes.from_windows_bits(bit) == [cause]


@pytest.mark.parametrize(("cause", "blocks", "who"), [(row[0], row[6], row[7]) for row in TABLE])
def test_a_cause_knows_what_it_stops_and_who_ends_it(cause, blocks, who):
    assert causes.CAUSES[cause].blocks == blocks
    assert causes.CAUSES[cause].who == who


@pytest.mark.parametrize(
    ("cause", "then"), [("toner_empty", "technician"), ("queue_paused", "technician"), ("job_stuck", "staff")]
)
def test_some_causes_have_a_second_who(cause, then):
    assert causes.CAUSES[cause].then == then


@pytest.mark.parametrize(
    "keyword",
    ["none", "", "cups-waiting-for-job-completed", "cups-remote-pending", "cups-ipp-conformance-failure-report",
     "cups-pki-expired", "com.example.recoverable", "stacker-added", "input-cover-closed-report", "marker-turned-on"],
)  # fmt: skip
def test_what_is_no_trouble_has_no_cause(keyword):
    assert causes.from_ipp([keyword]) == []


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("job-printing", []),
        ("none", []),
        ("cups-retry-current-job", ["job_stuck"]),
        ("document-format-error", ["driver_problem"]),
    ],
)
def test_a_document_s_own_reasons_have_causes(reason, expected):
    assert causes.from_job_reasons([reason]) == expected


def test_windows_tells_offline_and_powered_off_with_one_bit():
    assert 128 in causes.CAUSES["powered_off"].windows_bits

    assert causes.from_windows_bits(128) == ["unreachable"]


def test_windows_being_busy_is_no_trouble():
    assert causes.from_windows_bits(256 | 512 | 1024 | 16384) == []


def test_an_error_state_may_be_one_byte_or_none():
    assert causes.from_snmp_bits(b"") == []
    assert causes.from_snmp_bits(b"\x04") == ["paper_jam"]
    assert causes.from_snmp_bits(b"\x04\x00\xff\xff") == ["paper_jam"]


def test_overdue_maintenance_and_undefined_bits_are_told_apart():
    assert causes.from_snmp_bits(error_state(14)) == []
    assert causes.from_snmp_bits(error_state(15)) == ["unknown_reason"]


def test_something_closed_or_added_is_no_alert():
    assert causes.from_alert_codes([4, 6, 19, 20, 502, 503]) == []


def test_causes_come_once_and_in_the_table_s_order():
    found = causes.from_ipp(["toner-low-warning", "media-jam-error", "media-jam-warning", "none", "media-empty"])

    assert found == ["paper_empty", "paper_jam", "toner_low"]


def test_letters_case_is_no_difference():
    assert causes.from_ipp(["Media-Jam-Error"]) == ["paper_jam"]


def test_the_severity_is_no_part_of_a_keyword_s_identity():
    assert {causes.identity(f"media-jam{suffix}") for suffix in ("", "-report", "-warning", "-error")} == {"media-jam"}


@given(st.lists(st.text(alphabet=string.printable, max_size=40)))
def test_any_words_lead_to_causes_of_the_table(words):
    assert set(causes.from_ipp(words)) <= set(causes.CAUSES)


@given(st.binary(max_size=4), st.integers(0, 2**40), st.lists(st.integers()))
def test_any_numbers_lead_to_causes_of_the_table(state, status, codes):
    found = causes.from_snmp_bits(state) + causes.from_windows_bits(status) + causes.from_alert_codes(codes)

    assert set(found) <= set(causes.CAUSES)
