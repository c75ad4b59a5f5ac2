"""The web application on a real database, with a clock that tests turn and people who are signed in already."""

import atexit
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from annexfleet_controller.access import sessions, users
from annexfleet_controller.app import create_web
from annexfleet_controller.clock import Clock
from annexfleet_controller.identity import authority
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import people
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.people import SessionRow

ORIGIN = "http://testserver"
PASSWORD = "quatre chevaux bleus"
QUICK_HASH = "$argon2id$v=19$m=8,t=1,p=1$MBvac4M5OsXuA4y1nOzAhw$xiOenSU56ph+J1NhNhRLewhWsXfW+8jNQH2CwrmIeFg"
"""Of PASSWORD, quickly checked, for people who are signed in by the test."""


@cache
def _portal() -> BlockingPortal:
    """One event loop for all requests of this process: a client without one starts a thread and a loop a request."""
    opened = ExitStack()
    atexit.register(opened.close)
    return opened.enter_context(start_blocking_portal("asyncio"))


class TurnedClock(Clock):
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC).replace(microsecond=0)

    def now(self) -> datetime:
        return self.at

    def mono(self) -> float:
        return self.at.timestamp()

    def turn(self, **by: float) -> None:
        self.at += timedelta(**by)


class Site:
    """One controller's web process."""

    def __init__(self, engine: Engine, path: Path, **settings: object) -> None:
        self.engine = engine
        self.home = Home(path / "home", Settings(**settings))  # type: ignore[arg-type]
        self.home.path.mkdir()
        self.clock = TurnedClock()
        self.app = create_web(self.home, engine=engine, clock=self.clock)

    @property
    def scheme(self) -> str:
        return "https" if self.home.settings.public_url.startswith("https") else "http"

    def with_authority(self) -> "Site":
        authority.ensure(self.home)
        return self

    def visitor(self) -> TestClient:
        """Somebody whom nobody knows, in a browser that speaks English."""
        client = TestClient(
            self.app, base_url=f"{self.scheme}://testserver", follow_redirects=False,
            headers={"Accept-Language": "en"}, raise_server_exceptions=True,
        )  # fmt: skip
        client.portal = _portal()
        return client

    def signed_in(self, role: str = "admin", *, annex: str = "", name: str = "") -> TestClient:
        """A person of that role, confined to an annex or to none; forms bear the token by header."""
        name = name or f"{role}-{annex or 'province'}"
        with writing(self.engine) as db:
            user = people.by_name(db, name) or people.create(
                db, name=name, password_hash=QUICK_HASH, role=role, annex_ids=[annex] if annex else [],
                now=self.clock.now(),
            )  # fmt: skip
            people.set_password(db, user.id, QUICK_HASH, must_change=False)
            cookie = sessions.open_for(db, user, now=self.clock.now())
        client = self.visitor()
        client.cookies.set(sessions.cookie_name(self.home.settings), cookie)
        client.headers["X-CSRF-Token"] = self.csrf_token(cookie)
        return client

    def csrf_token(self, cookie: str) -> str:
        with reading(self.engine) as db:
            row = db.get(SessionRow, sessions.digest(cookie))
            assert row is not None
            return row.csrf_token

    def person(self, name: str, role: str = "admin", *, annex: str = "") -> str:
        """A person with a real one-time password."""
        return users.create(self.engine, name, role, now=self.clock.now(), annex_ids=[annex] if annex else [])
