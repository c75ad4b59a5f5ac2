"""Asks a printer itself over IPP, whatever the print server remembers of it (a CUPS queue shows its last job)."""

from collections.abc import Callable

from annexfleet_agent.printers import alerts, ipp, supplies, transport
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.seen import MAX_WORDS, Seen, Source, State, word
from annexfleet_agent.protocol import causes

STATES: dict[int | None, State] = {3: "idle", 4: "processing", 5: "stopped"}

_WANTED = (
    "printer-state",
    "printer-state-reasons",
    "printer-alert",
    "printer-uuid",
    "printer-make-and-model",
    "printer-impressions-completed",
    "printer-pages-completed",
    "printer-media-sheets-completed",
    "printer-input-tray",
    "media-col-ready",
    *supplies.WANTED,
)
_PAGE_COUNTERS = _WANTED[5:8]
"""The best first: impressions are sides, as a printer's own counter page and SNMP count them."""

_GUESSED_PATHS = ("/ipp/print", "/ipp", "/")


def ask(endpoint: transport.Endpoint, *, guess: bool = False, timeout_s: float, mono: Callable[[], float]) -> Seen:
    """What the printer says of itself; IPP 2.0 first, then 1.1.  `guess`: try the usual paths, too.

    Raises Failed.
    """
    paths = _GUESSED_PATHS if guess else (endpoint.path,)
    deadline = mono() + timeout_s
    for path in paths:
        at = endpoint._replace(path=path)
        try:
            return _ask(at, deadline=deadline, mono=mono)
        except Failed as failed:
            if failed.code != "unsupported" or path == paths[-1]:
                raise
    raise AssertionError("there is always a path to try")


def _ask(endpoint: transport.Endpoint, *, deadline: float, mono: Callable[[], float]) -> Seen:
    answer, old = _attributes(endpoint, (2, 0), deadline, mono), False
    if answer.status in ipp.VERSION_REFUSED:
        answer, old = _attributes(endpoint, (1, 1), deadline, mono), True
    return seen(checked(answer), "device_ipp", old_firmware=old)


def _attributes(
    endpoint: transport.Endpoint, version: tuple[int, int], deadline: float, mono: Callable[[], float]
) -> ipp.Answer:
    wanted = ipp.Attribute("requested-attributes", ipp.KEYWORD, _WANTED)
    body = ipp.request(ipp.GET_PRINTER_ATTRIBUTES, endpoint.uri, [wanted], version=version)
    return ipp.parse(transport.post(endpoint, body, timeout_s=max(deadline - mono(), 0.1), mono=mono))


def checked(answer: ipp.Answer) -> ipp.Attributes:
    """The printer attributes of a good answer.  Raises Failed."""
    if answer.status in ipp.FORBIDDEN:
        raise Failed("denied", f"IPP status {answer.status:#06x}")
    if answer.status in ipp.UNSUPPORTED:
        raise Failed("unsupported", f"IPP status {answer.status:#06x}")
    if answer.status >= ipp.OK_BELOW:
        raise Failed("failed", f"IPP status {answer.status:#06x}")
    groups = answer.of(ipp.PRINTER)
    if not groups or "printer-state" not in groups[0]:
        raise Failed("malformed", "an answer without printer-state")
    return groups[0]


def seen(attributes: ipp.Attributes, source: Source, *, old_firmware: bool = False) -> Seen:
    """What a printer's attributes tell.  Those of the wrong type count as absent."""
    reasons = strings(attributes, "printer-state-reasons")
    from_server = source == "print_server"
    codes = [] if from_server else alerts.of_ipp(attributes.get("printer-alert", [])[:MAX_WORDS])
    return Seen(
        source=source,
        state=STATES.get(number(attributes, "printer-state"), "unknown"),
        reasons=reasons,
        alert_causes=causes.from_alert_codes(codes),
        causes=causes.from_ipp(reasons),
        pages=next((n for name in _PAGE_COUNTERS if (n := number(attributes, name)) is not None and n >= 0), None),
        # A print server gives each queue an identity of its own; that is not the printer's.
        uuid="" if from_server else text(attributes, "printer-uuid").removeprefix("urn:uuid:"),
        model=text(attributes, "printer-make-and-model"),
        supplies=supplies.supplies(attributes, trust_half=not from_server),
        trays=supplies.trays(attributes),
        old_firmware=old_firmware,
    )


def first(attributes: ipp.Attributes, name: str) -> ipp.Value:
    values = attributes.get(name)
    return values[0] if values else None


def number(attributes: ipp.Attributes, name: str) -> int | None:
    value = first(attributes, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(attributes: ipp.Attributes, name: str) -> str:
    value = first(attributes, name)
    return word(value) if isinstance(value, str) else ""


def strings(attributes: ipp.Attributes, name: str) -> list[str]:
    """The words of an attribute, `none` left out."""
    found = [word(value) for value in attributes.get(name, []) if isinstance(value, str)]
    return [value for value in dict.fromkeys(found) if value not in {"", "none"}][:MAX_WORDS]
