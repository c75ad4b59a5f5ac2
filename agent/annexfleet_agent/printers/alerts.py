"""The alert table of a printer: the codes of RFC 3805 (PrtAlertCodeTC) and their labels.

IPP writes the labels (`printer-alert`, PWG 5100.9: `code=coverOpen;severity=critical;…`), SNMP the numbers.
"""

from collections.abc import Iterable

_LABELS = {
    1: "other", 2: "unknown", 3: "coverOpen", 4: "coverClosed", 5: "interlockOpen", 6: "interlockClosed",
    7: "configurationChange", 8: "jam", 9: "subunitMissing", 10: "subunitLifeAlmostOver", 11: "subunitLifeOver",
    12: "subunitAlmostEmpty", 13: "subunitEmpty", 14: "subunitAlmostFull", 15: "subunitFull", 16: "subunitNearLimit",
    17: "subunitAtLimit", 18: "subunitOpened", 19: "subunitClosed", 20: "subunitTurnedOn", 21: "subunitTurnedOff",
    22: "subunitOffline", 23: "subunitPowerSaver", 24: "subunitWarmingUp", 25: "subunitAdded", 26: "subunitRemoved",
    27: "subunitResourceAdded", 28: "subunitResourceRemoved", 29: "subunitRecoverableFailure",
    30: "subunitUnrecoverableFailure", 31: "subunitRecoverableStorageError", 32: "subunitUnrecoverableStorageError",
    33: "subunitMotorFailure", 34: "subunitMemoryExhausted", 35: "subunitUnderTemperature",
    36: "subunitOverTemperature", 37: "subunitTimingFailure", 38: "subunitThermistorFailure", 501: "doorOpen",
    502: "doorClosed", 503: "powerUp", 504: "powerDown", 801: "inputMediaTrayMissing", 802: "inputMediaSizeChange",
    803: "inputMediaWeightChange", 804: "inputMediaTypeChange", 805: "inputMediaColorChange",
    806: "inputMediaFormPartsChange", 807: "inputMediaSupplyLow", 808: "inputMediaSupplyEmpty",
    809: "inputMediaChangeRequest", 810: "inputManualInputRequest", 811: "inputTrayPositionFailure",
    812: "inputTrayElevationFailure", 813: "inputCannotFeedSizeSelected", 901: "outputMediaTrayMissing",
    902: "outputMediaTrayAlmostFull", 903: "outputMediaTrayFull", 904: "outputMailboxSelectFailure",
    1001: "markerFuserUnderTemperature", 1002: "markerFuserOverTemperature", 1003: "markerFuserTimingFailure",
    1004: "markerFuserThermistorFailure", 1005: "markerAdjustingPrintQuality", 1101: "markerTonerEmpty",
    1102: "markerInkEmpty", 1103: "markerPrintRibbonEmpty", 1104: "markerTonerAlmostEmpty",
    1105: "markerInkAlmostEmpty", 1106: "markerPrintRibbonAlmostEmpty", 1107: "markerWasteTonerReceptacleAlmostFull",
    1108: "markerWasteInkReceptacleAlmostFull", 1109: "markerWasteTonerReceptacleFull",
    1110: "markerWasteInkReceptacleFull", 1111: "markerOpcLifeAlmostOver", 1112: "markerOpcLifeOver",
    1113: "markerDeveloperAlmostEmpty", 1114: "markerDeveloperEmpty", 1115: "markerTonerCartridgeMissing",
    1301: "mediaPathMediaTrayMissing", 1302: "mediaPathMediaTrayAlmostFull", 1303: "mediaPathMediaTrayFull",
    1304: "mediaPathCannotDuplexMediaSelected", 1501: "interpreterMemoryIncrease", 1502: "interpreterMemoryDecrease",
    1503: "interpreterCartridgeAdded", 1504: "interpreterCartridgeDeleted", 1505: "interpreterResourceAdded",
    1506: "interpreterResourceDeleted", 1507: "interpreterResourceUnavailable",
    1509: "interpreterComplexPageEncountered",
}  # fmt: skip
_CODES = {label.lower(): code for code, label in _LABELS.items()}

UNKNOWN = 2


def label(code: int) -> str:
    """The raw word for a code, as readings show it."""
    return _LABELS.get(code, f"alert-{code}")


def of_ipp(values: Iterable[object]) -> list[int]:
    """The codes in values of `printer-alert`, given as text or octets; a label that is not known is `UNKNOWN`."""
    codes = []
    for value in values:
        fields = pairs(value)
        if "code" in fields:
            codes.append(_CODES.get(fields["code"].replace("-", "").lower(), UNKNOWN))
    return codes


def pairs(value: object) -> dict[str, str]:
    """`a=1;b=2;` as PWG 5100 writes small tables in one string; what is no pair is left out."""
    line = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(line, str):
        return {}
    found = (field.partition("=") for field in line[:2000].split(";") if "=" in field)
    return {key.strip().lower(): content.strip() for key, _, content in found}
