"""Months in figures."""

from datetime import UTC, datetime

MONTH = f"{datetime.now(UTC):%Y-%m}"

LOWEST = {
    ("GET", "/reports"): "staff",
    ("GET", "/reports/{month}"): "staff",
    ("GET", "/reports/{month}.pdf"): "staff",
    ("GET", "/api/v1/reports"): "staff",
    ("GET", "/api/v1/reports/{month}"): "staff",
    ("GET", "/api/v1/reports/{month}/{table}.csv"): "staff",
}

NAMES = {"month": MONTH, "table": "annexes"}
_MISSING = {404}
"""Nothing is kept of this month where nobody worked it out."""
ANSWERS = {
    ("GET", "/reports/{month}.pdf"): _MISSING,
    ("GET", "/api/v1/reports/{month}"): _MISSING,
    ("GET", "/api/v1/reports/{month}/{table}.csv"): _MISSING,
}
