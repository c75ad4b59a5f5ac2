"""What can trouble a printer, in 32 canonical causes, and how each source of printer state names them.

A keyword's severity suffix (`-report`, `-warning`, `-error`) is no part of its identity: CUPS and printers rewrite it,
and say `-warning` of things that do stop the printing.  How bad a cause is stands in this table and nowhere else.

Sources: IPP keywords of RFC 8011 and PWG 5100.9 (`<subunit>-<condition>`, hence patterns), bits of
hrPrinterDetectedErrorState (RFC 2790), PrtAlertCodeTC (RFC 3805), PRINTER_STATUS_* of the Windows spooler.
"""

# ruff: noqa: E501  # a table is read along its rows

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from msgspec import Struct

Blocks = Literal["yes", "no", "maybe", "job", "partly"]
"""Whether the printer still prints: `job` holds up one document only; for `maybe`, printer_state decides."""

Who = Literal["staff", "technician", "it", "nobody", "auto"]
"""Who can end it; `auto` means that the print queue heals itself."""


class Cause(Struct, frozen=True, kw_only=True):
    """One row of the table."""

    id: str
    ipp: tuple[str, ...] = ()
    """Keywords of printer-state-reasons; `*` stands for any characters."""
    snmp_bits: tuple[int, ...] = ()
    doubtful_snmp_bits: tuple[int, ...] = ()
    """Bits that vendors set carelessly; to be believed only of a device that has nothing better to say."""
    alert_codes: tuple[int, ...] = ()
    windows_bits: tuple[int, ...] = ()
    """The value of the bit in PrintQueueStatus, not its position."""
    blocks: Blocks
    who: Who
    then: Who | None = None
    """Who is next where the first could not end it."""
    derived: bool = False
    """True: also concluded from facts that are no reason (`printers.merge`)."""


# An earlier row wins where two patterns fit: `marker-waste-*full` would also take what is almost full.
_ALL = (
    Cause(id="paper_empty", ipp=("media-empty", "media-path-input-empty", "input-media-supply-empty"), snmp_bits=(1, 13), alert_codes=(808,), windows_bits=(16,), blocks="yes", who="staff"),
    Cause(id="paper_low", ipp=("media-low", "input-media-supply-low"), doubtful_snmp_bits=(0,), alert_codes=(807,), blocks="no", who="staff"),
    Cause(id="paper_wrong", ipp=("media-needed", "input-manual-input-request", "input-media-*-change", "input-media-change-request", "input-cannot-feed-size-selected"), alert_codes=(802, 803, 804, 805, 806, 809, 810, 813), windows_bits=(32, 64), blocks="job", who="staff"),
    Cause(id="paper_jam", ipp=("media-jam", "*-jam", "*-feed-error"), snmp_bits=(5,), alert_codes=(8,), windows_bits=(8,), blocks="yes", who="staff"),
    Cause(id="cover_open", ipp=("cover-open", "door-open", "interlock-open", "*-cover-open", "*-door-open", "*-interlock-open"), snmp_bits=(4,), alert_codes=(3, 5, 501), windows_bits=(4194304,), blocks="yes", who="staff"),
    Cause(id="tray_missing", ipp=("input-tray-missing",), snmp_bits=(8,), alert_codes=(801,), blocks="maybe", who="staff"),
    Cause(id="tray_failure", ipp=("input-tray-*-failure", "*-pick-roller-*"), alert_codes=(811, 812), blocks="maybe", who="technician"),
    Cause(id="output_full", ipp=("output-area-full",), snmp_bits=(12,), alert_codes=(903,), windows_bits=(2048,), blocks="yes", who="staff"),
    Cause(id="output_almost_full", ipp=("output-area-almost-full",), snmp_bits=(11,), alert_codes=(902,), blocks="no", who="staff"),
    Cause(id="output_tray_missing", ipp=("output-tray-missing",), snmp_bits=(9,), alert_codes=(901,), blocks="maybe", who="staff"),
    # An empty colour need not stop black print; printer_state tells.
    Cause(id="toner_empty", ipp=("toner-empty", "marker-supply-empty", "marker-toner-empty", "marker-ink-empty", "marker-print-ribbon-empty"), doubtful_snmp_bits=(3,), alert_codes=(1101, 1102, 1103), windows_bits=(262144,), blocks="yes", who="staff", then="technician"),
    Cause(id="toner_low", ipp=("toner-low", "marker-supply-low", "marker-*-almost-empty"), doubtful_snmp_bits=(2,), alert_codes=(1104, 1105, 1106), windows_bits=(131072,), blocks="no", who="technician"),
    Cause(id="cartridge_missing", ipp=("marker-supply-missing", "marker-toner-cartridge-missing"), snmp_bits=(10,), alert_codes=(1115,), blocks="yes", who="staff"),
    Cause(id="waste_almost_full", ipp=("marker-waste-*almost-full", "waste-receptacle-almost-full"), alert_codes=(1107, 1108), blocks="no", who="technician"),
    Cause(id="waste_full", ipp=("marker-waste-*full",), alert_codes=(1109, 1110), blocks="yes", who="technician"),
    Cause(id="drum_near_end", ipp=("opc-near-eol", "cleaner-life-almost-over"), alert_codes=(1111,), blocks="no", who="technician"),
    Cause(id="drum_end", ipp=("opc-life-over", "cleaner-life-over"), alert_codes=(1112,), blocks="maybe", who="technician"),
    # Low developer does not stop the printer, none does; printer_state tells.
    Cause(id="developer", ipp=("developer-low", "developer-empty", "marker-developer-*"), alert_codes=(1113, 1114), blocks="maybe", who="technician"),
    Cause(id="fuser_fault", ipp=("fuser-over-temp", "fuser-under-temp", "marker-fuser-*"), alert_codes=(1001, 1002, 1003, 1004), blocks="yes", who="technician"),
    Cause(id="duplex_problem", ipp=("media-path-cannot-duplex-media-selected",), alert_codes=(1304,), blocks="job", who="staff"),
    Cause(id="unreachable", ipp=("connecting-to-device", "timed-out", "offline"), doubtful_snmp_bits=(6,), windows_bits=(128, 4096), blocks="yes", who="staff", derived=True),
    # Windows says "offline" (128) of a printer that is off as well; nobody can tell, so `unreachable` has it.
    Cause(id="powered_off", ipp=("shutdown", "power-down", "deactivated"), alert_codes=(504,), windows_bits=(128,), blocks="yes", who="staff"),
    Cause(id="queue_paused", ipp=("paused", "moving-to-paused", "hold-new-jobs"), windows_bits=(1,), blocks="yes", who="auto", then="technician", derived=True),
    Cause(id="job_stuck", blocks="yes", who="auto", then="staff", derived=True),
    Cause(id="queue_rejecting", blocks="yes", who="technician", derived=True),
    Cause(id="spool_full", ipp=("spool-area-full", "*-memory-exhausted"), alert_codes=(34,), windows_bits=(2097152,), blocks="yes", who="technician"),
    Cause(id="partly_stopped", ipp=("stopped-partly", "stopping"), alert_codes=(22,), blocks="partly", who="technician"),
    Cause(id="service_needed", ipp=("service-needed", "motor-failure", "*-failure", "other", "other-error"), doubtful_snmp_bits=(7,), alert_codes=(29, 30, 33, 37, 38), windows_bits=(2, 1048576), blocks="maybe", who="technician"),
    Cause(id="driver_problem", ipp=("cups-missing-filter", "interpreter-resource-unavailable", "document-format-error"), alert_codes=(1507,), windows_bits=(524288,), blocks="job", who="technician"),
    Cause(id="config_changed", ipp=("configuration-change", "*-configuration-change"), alert_codes=(7,), blocks="no", who="it"),
    Cause(id="sleep_or_warmup", ipp=("power-saver", "*-power-saver", "warming-up", "*-warming-up"), alert_codes=(23, 24), windows_bits=(16777216, 65536), blocks="no", who="nobody"),
    # `other` is an error by itself; with a milder suffix it says nothing that staff could be told to do.
    Cause(id="unknown_reason", ipp=("other-warning", "other-report"), windows_bits=(8388608,), blocks="maybe", who="it"),
)  # fmt: skip

CAUSES: dict[str, Cause] = {cause.id: cause for cause in _ALL}
assert len(CAUSES) == len(_ALL), "a cause stands twice in the table"

_SUFFIXES = ("-report", "-warning", "-error")

_IPP_IGNORED = (
    "none",
    "",
    # What CUPS tells of its own doings; no trouble of the printer's.
    "cups-waiting-for-job-completed",
    "cups-remote-*",
    "cups-ipp-*",
    "cups-pki-*",
    "cups-insecure-filter",
    "com.*",  # vendors' private keywords for their own drivers
    # PWG 5100.9: that something was put right.
    "*-added",
    "*-closed",
    "*-turned-on",
    "*-resource-removed",
)
_SNMP_BITS_IGNORED = frozenset({14})  # preventive maintenance overdue: no cause of its own, and CUPS mistrusts it too
_ALERT_CODES_IGNORED = frozenset({4, 6, 19, 20, 25, 27, 28, 502, 503, 1501, 1503, 1505})  # closed, turned on, added
_WINDOWS_IGNORED = 4 | 256 | 512 | 1024 | 8192 | 16384 | 32768  # deleting, busy, printing, waiting, initialising

_BAD_DOCUMENT = frozenset({"document-format", "unsupported-document-format", "document-unprintable"})

_ALERT_CAUSE = {code: cause.id for cause in reversed(_ALL) for code in cause.alert_codes}
_WINDOWS_CAUSE = {bit: cause.id for cause in reversed(_ALL) for bit in cause.windows_bits}
_SNMP_CAUSE = {bit: cause.id for cause in reversed(_ALL) for bit in cause.snmp_bits}
_DOUBTFUL_SNMP_CAUSE = {bit: cause.id for cause in reversed(_ALL) for bit in cause.doubtful_snmp_bits}
_ORDER = {cause.id: place for place, cause in enumerate(_ALL)}


def identity(keyword: str) -> str:
    """A keyword in lower case without its severity suffix."""
    keyword = keyword.strip().lower()
    for suffix in _SUFFIXES:
        if keyword.endswith(suffix):
            return keyword.removesuffix(suffix)
    return keyword


def in_order(ids: Iterable[str]) -> list[str]:
    """Causes without repeats, in the table's order; an id that is not in the table is dropped."""
    return sorted({id_ for id_ in ids if id_ in _ORDER}, key=_ORDER.__getitem__)


def from_ipp(reasons: Iterable[str]) -> list[str]:
    """The causes behind keywords of printer-state-reasons, in the table's order."""
    return in_order(filter(None, map(_from_keyword, reasons)))


def from_snmp_bits(state: bytes, *, doubtful: bool = False) -> list[str]:
    """The causes behind hrPrinterDetectedErrorState: one or two bytes, bit 0 being the first byte's highest.

    `doubtful` also believes the bits that vendors set carelessly.  Bits past the second byte are no bits of RFC 2790.
    """
    found = [n for n in range(8 * min(len(state), 2)) if state[n // 8] & (0x80 >> n % 8)]
    return in_order(_snmp_cause(bit, doubtful) for bit in found)


def from_alert_codes(codes: Iterable[int]) -> list[str]:
    """The causes behind prtAlertCode values of a printer's alert table."""
    return in_order(_ALERT_CAUSE.get(code, "unknown_reason") for code in codes if code not in _ALERT_CODES_IGNORED)


def from_windows_bits(status: int) -> list[str]:
    """The causes behind PrintQueueStatus.  Many drivers only ever report 128 (offline) or 0."""
    status &= 0xFFFFFFFF & ~_WINDOWS_IGNORED
    bits = [1 << n for n in range(32) if status >> n & 1]
    return in_order(_WINDOWS_CAUSE.get(bit, "unknown_reason") for bit in bits)


def from_job_reasons(reasons: Iterable[str]) -> list[str]:
    """The causes behind keywords of job-state-reasons; most of these are a document's ordinary life."""
    found = []
    for reason in map(identity, reasons):
        if reason.startswith("cups-"):
            found.append("job_stuck")
        elif reason in _BAD_DOCUMENT:
            found.append("driver_problem")
    return in_order(found)


@lru_cache(maxsize=256)
def _from_keyword(keyword: str) -> str:
    """The cause's id; "" for what is no trouble."""
    whole, bare = keyword.strip().lower(), identity(keyword)
    if any(fnmatchcase(bare, pattern) for pattern in _IPP_IGNORED):
        return ""
    # The whole first: in `input-feed-error` the ending is no severity but the condition itself.
    for word in (whole, bare):
        for cause in _ALL:
            if any(fnmatchcase(word, pattern) for pattern in cause.ipp):
                return cause.id
    return "unknown_reason"


def _snmp_cause(bit: int, doubtful: bool) -> str:
    if bit in _SNMP_CAUSE:
        return _SNMP_CAUSE[bit]
    if bit in _DOUBTFUL_SNMP_CAUSE:
        return _DOUBTFUL_SNMP_CAUSE[bit] if doubtful else ""
    return "" if bit in _SNMP_BITS_IGNORED else "unknown_reason"
