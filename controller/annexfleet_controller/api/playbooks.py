"""/api/v1/playbooks: what can be run, and which variables each takes."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, JsonValue

from annexfleet_controller.access.asked import HomeOf
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.rollouts import bundle
from annexfleet_controller.rollouts.variables import Variable

router = APIRouter(prefix="/api/v1/playbooks", tags=["runs"], responses=problems.RESPONSES)

Running = Annotated[Person, Depends(Needs("run_playbooks"))]


class VariableOut(BaseModel):
    name: str
    type: str
    elements: str
    """Of a list: what is in it."""
    required: bool
    default: JsonValue
    choices: list[JsonValue]
    secret: bool
    """To be given among `secrets`; it is never shown again."""
    description: str
    options: list["VariableOut"]
    """Of a dict, or of a list of dicts."""


class PlaybookOut(BaseModel):
    name: str
    summary: str
    description: str
    variables: list[VariableOut]


class PlaybookPage(BaseModel):
    items: list[PlaybookOut]


@router.get("")
def list_playbooks(person: Running, home: HomeOf) -> PlaybookPage:
    """Every playbook of the library, by name."""
    return PlaybookPage(
        items=[
            PlaybookOut(
                name=playbook.name, summary=playbook.summary, description=playbook.description,
                variables=[_variable(variable) for variable in playbook.variables],
            )
            for playbook in bundle.playbooks(home)
        ]
    )  # fmt: skip


def _variable(of: Variable) -> VariableOut:
    return VariableOut(
        name=of.name, type=of.type, elements=of.elements, required=of.required, default=of.default,
        choices=list(of.choices), secret=of.secret, description=of.description,
        options=[_variable(option) for option in of.options],
    )  # fmt: skip
