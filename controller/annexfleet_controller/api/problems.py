"""Errors as problem details (RFC 9457): a stable code, a title in the caller's language, and the facts."""

from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.i18n.catalogues import Language

MEDIA_TYPE = "application/problem+json"
_PUBLIC_FACTS = frozenset(
    {"field", "reason", "wait_s", "fields", "low", "high", "other", "version", "state", "act", "may", "digest"}
)
"""`version`, `state` and `may` say how to go on with what somebody else changed, or what cannot be done now."""


class Problem(BaseModel):
    """What every error answers."""

    type: str
    title: str
    status: int
    code: str

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "type": "urn:annexfleet:problem:device_unknown",
                    "title": "There is no such device, or it is outside your annexes.",
                    "status": 404,
                    "code": "device_unknown",
                }
            ]
        }
    }


def answer(
    status: int,
    code: str,
    language: Language,
    *,
    facts: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    body = {
        "type": f"urn:annexfleet:problem:{code}",
        "title": language.name("error", code),
        "status": status,
        "code": code,
    }
    body |= {key: value for key, value in (facts or {}).items() if key in _PUBLIC_FACTS}
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


def of(error: AnnexfleetError, status: int, language: Language) -> JSONResponse:
    headers = {"Retry-After": str(error.facts["wait_s"])} if "wait_s" in error.facts else None
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return answer(status, error.code, language, facts=error.facts, headers=headers)


RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "content": {MEDIA_TYPE: {}}} for code in (401, 403, 404, 422)
}
"""What every route of the API may answer besides its own."""
