"""What a request carries for every handler: the database, the moment, the language.  Dependencies as short names."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.access.person import Person
from annexfleet_controller.i18n.catalogues import Language, language, negotiate
from annexfleet_controller.settings import Home
from annexfleet_controller.store import database

LANGUAGE_COOKIE = "annexfleet_language"


def _home(request: Request) -> Home:
    home: Home = request.app.state.home
    return home


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _now(request: Request) -> datetime:
    now: datetime = request.app.state.clock.now()
    return now


def _reading(request: Request) -> Iterator[Session]:
    with database.reading(request.app.state.engine) as db:
        yield db


def _writing(request: Request) -> Iterator[Session]:
    with database.writing(request.app.state.engine) as db:
        yield db


def language_of(request: Request) -> Language:
    """The person's own language, else what this browser chose, else what it accepts."""
    person: Person | None = getattr(request.state, "person", None)
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return language(
        negotiate(person.language if person else "", chosen, accept=request.headers.get("accept-language", ""))
    )


HomeOf = Annotated[Home, Depends(_home)]
EngineOf = Annotated[Engine, Depends(_engine)]
Now = Annotated[datetime, Depends(_now)]
# A transaction ends before the answer is sent, so that a failed commit is never answered with 200.
Db = Annotated[Session, Depends(_reading, scope="function")]
WritingDb = Annotated[Session, Depends(_writing, scope="function")]
"""Commits when the handler returns.  Nothing slow belongs into such a handler: on SQLite ingest waits meanwhile."""
LanguageOf = Annotated[Language, Depends(language_of)]
