"""Whose hand acts, for acts upon settings."""

from annexfleet_controller.access.person import Person
from annexfleet_controller.tending.trace import Hand


def hand(person: Person) -> Hand:
    return Hand(person.user_id, person.name, person.via, person.scope)
