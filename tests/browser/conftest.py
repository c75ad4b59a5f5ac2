"""A real browser before a real server: Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import Engine
from tests.browser.town import Town

from annexfleet_controller.store.database import open_database

PHONE, TABLET, DESKTOP = (390, 844), (820, 1180), (1440, 900)

Opened = Callable[..., Page]

PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")  # no longer: while Playwright is open its loop runs, and others' asyncio.run is refused
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def town(sqlite_engine: Engine, tmp_path: Path) -> Iterator[Town]:
    """One that a test may change."""
    made = Town(sqlite_engine, tmp_path)
    with made.served():
        yield made


@pytest.fixture(scope="module")
def quiet_town(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One that the tests of a file only look at: a jam in the first annex, toner that runs low in the second."""
    path = tmp_path_factory.mktemp("town")
    shutil.copyfile(sqlite_template, path / "controller.db")
    engine = open_database(f"sqlite:///{path / 'controller.db'}")
    made = Town(engine, path)
    made.jams()
    with made.served():
        yield made
    engine.dispose()


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Opened]:
    """Opens a page as somebody; whatever a page complains about in the console fails the test at its end."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def opening(
        town: Town,
        path: str,
        *,
        role: str = "",
        annex: str = "",
        language: str = "fr",
        size: tuple[int, int] = DESKTOP,
        dark: bool = False,
        scripts: bool = True,
        motion: bool = False,
        before: str = "",
        turned: bool = False,
    ) -> Page:
        """`before` is a script that runs ahead of the page's own; a `turned` page's clock can be put forward."""
        context = chromium.new_context(
            base_url=town.address, locale=language, viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light", reduced_motion="no-preference" if motion else "reduce",
            java_script_enabled=scripts,
        )  # fmt: skip
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if role:
            cookie = town.cookie(role, annex=annex, language=language)
            context.add_cookies([{"name": "annexfleet", "value": cookie, "url": town.address}])
        page = context.new_page()
        if before:
            page.add_init_script(before)
        if turned:
            page.clock.install()
        page.on("pageerror", lambda error: said.append(f"{page.url}: {error}"))
        page.on("request", lambda asked: _stays_home(asked.url, town, said))
        page.on(
            "console",
            lambda line: said.append(f"{page.url}: {line.text}") if _is_complaint(line.type, line.text) else None,
        )
        page.goto(path)
        return page

    yield opening
    for context in contexts:
        context.close()
    assert said == []


def _stays_home(url: str, town: Town, said: list[str]) -> None:
    if not url.startswith((town.address, "data:", "blob:")):
        said.append(f"a page asked another host: {url}")


def _is_complaint(kind: str, text: str) -> bool:
    """A line that broke is told on the page; an answer that refuses is what a test asked for."""
    told = ("Failed to load resource", "Failed to fetch", "net::ERR_")
    return kind == "error" and not any(words in text for words in told)
