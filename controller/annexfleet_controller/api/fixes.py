"""/api/v1/incidents/<id>/fixed: "I fixed it", and what the devices say to it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import answers, claims
from annexfleet_controller.api import paging, problems
from annexfleet_controller.fixes import Claim, Outcome
from annexfleet_controller.store import alerts, fixes, incidents

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"], responses=problems.RESPONSES)

Id = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]


class ClaimOut(BaseModel):
    """`outcome` is null where nobody claimed anything; `still` is the cause that is still reported."""

    incident: int
    outcome: Outcome | None = None
    cause: str = ""
    by: str = ""
    claimed_at: datetime | None = None
    deadline: datetime | None = None
    seconds_left: float = 0.0
    settled_at: datetime | None = None
    still: str = ""

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "incident": 12, "outcome": "checking", "cause": "paper_jam", "by": "amina",
                    "claimed_at": "2026-11-25T10:00:00Z", "deadline": "2026-11-25T10:02:00Z", "seconds_left": 84.0,
                    "settled_at": None, "still": "",
                }
            ]
        }
    }  # fmt: skip


@router.post("/{incident_id}/fixed", responses={409: {"model": problems.Problem}})
def claim_fix(
    incident_id: Id, person: Annotated[Person, Depends(Needs("claim_fix"))], db: WritingDb, now: Now
) -> ClaimOut:
    """Say that it is mended.  Ask with GET what the devices say to it; a repeat meanwhile changes nothing."""
    incident = answers.whole(db, person.scope, incident_id)
    of = alerts.of_incident(db, incident_id)
    return claim_out(incident_id, claims.claim_fix(db, incident, of, by=person.name, now=now), now)


@router.get("/{incident_id}/fixed")
def show_fix(incident_id: Id, person: Annotated[Person, Depends(Needs("look"))], db: Db, now: Now) -> ClaimOut:
    """What became of the newest claim: `checking`, `confirmed`, `not_confirmed` or `unknown`."""
    whole = answers.is_whole_in_sight(person.scope, incidents.get(db, person.scope, incident_id))
    return claim_out(incident_id, fixes.of_incident(db, incident_id) if whole else None, now)


def claim_out(incident_id: int, claim: Claim | None, now: datetime) -> ClaimOut:
    if claim is None:
        return ClaimOut(incident=incident_id)
    return ClaimOut(
        incident=incident_id, outcome=claim.outcome, cause=claim.cause, by=claim.by, claimed_at=claim.claimed_at,
        deadline=claim.deadline, seconds_left=claim.left_s(now), settled_at=claim.settled_at, still=claim.still,
    )  # fmt: skip
