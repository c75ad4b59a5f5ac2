"""What was open while the server went says so, and is true again when it is back.

The clocks of these pages are put forward, so that nobody waits for what a page waits for.
"""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine
from tests.browser.conftest import PHONE, Opened
from tests.browser.town import Town

from annexfleet_controller.zones import PROVINCE


@pytest.fixture
def closed_town(sqlite_engine: Engine, tmp_path: Path) -> Town:
    """One whose server is not up."""
    return Town(sqlite_engine, tmp_path)


def follows(page: Page) -> None:
    expect(page.locator("#line")).to_have_class(re.compile(r"\bon\b"))


def says_that_it_is_lost(page: Page) -> None:
    expect(page.locator("#line")).to_have_class(re.compile(r"\boff\b"))
    expect(page.locator("#line")).not_to_be_empty()


@pytest.mark.parametrize("language", ["fr", pytest.param("ar", marks=pytest.mark.trial)])
def test_a_board(closed_town: Town, opened: Opened, language: str):
    town = closed_town
    with town.served():
        page = opened(town, town.board("berkane-1"), size=PHONE, language=language, turned=True)
        follows(page)
    page.clock.fast_forward(31_000)  # it looks, and nothing comes
    page.clock.fast_forward(13_000)
    says_that_it_is_lost(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE[0]

    town.jams()
    with town.served():
        page.clock.fast_forward(31_000)
        follows(page)
        expect(page.locator(".task")).to_be_visible()
        page.close()


def test_the_page_behind_a_printers_code(closed_town: Town, opened: Opened):
    town = closed_town
    with town.served():
        page = opened(town, town.code("berkane-1"), size=PHONE, turned=True)
        expect(page.locator(".rest.well")).to_be_visible()
        follows(page)
    page.clock.fast_forward(31_000)
    page.clock.fast_forward(13_000)
    says_that_it_is_lost(page)

    town.jams()
    with town.served():
        page.clock.fast_forward(31_000)
        follows(page)
        expect(page.locator(".task")).to_be_visible()
        page.close()


@pytest.mark.parametrize(
    ("path", "role", "then"),
    [
        ("/", "operator", "article.blocked, .blocked"),
        pytest.param("/mine", "technician", "a[href^='/incidents/']", marks=pytest.mark.trial),
        pytest.param("/annexes/berkane-1", "staff", "a[href^='/incidents/']", marks=pytest.mark.trial),
    ],
)
def test_a_page(closed_town: Town, opened: Opened, path: str, role: str, then: str):
    town = closed_town
    with town.served():
        page = opened(town, path, role=role)
        follows(page)
    says_that_it_is_lost(page)

    town.jams()
    with town.served():
        follows(page)
        expect(page.locator("main").locator(then).first).to_be_visible()
        page.close()


def test_a_wall_screen_greys_out_until_something_new_comes(closed_town: Town, opened: Opened):
    town = closed_town
    with town.served():
        page = opened(town, "/wall", role="staff", turned=True)
        follows(page)
        expect(page.locator("#stale")).to_be_hidden()
        at = town.clock.at
        times = {(at + timedelta(seconds=s)).astimezone(PROVINCE).strftime("%H:%M") for s in (-60, 0, 60)}
        assert page.locator("#clock").inner_text() in times
    page.clock.fast_forward(155_000)
    says_that_it_is_lost(page)
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("body")).to_have_class(re.compile(r"\bstale\b"))

    town.jams()
    with town.served():
        page.clock.fast_forward(61_000)
        expect(page.locator(".wall-list li")).to_be_visible()
        expect(page.locator("#stale")).to_be_hidden()
        expect(page.locator("body")).not_to_have_class(re.compile(r"\bstale\b"))
        follows(page)
        page.close()


def test_a_wall_screen_without_scripts_shows_what_was_so_and_when(quiet_town: Town, opened: Opened):
    page = opened(quiet_town, "/wall", role="staff", scripts=False)

    expect(page.locator(".wall-list li")).to_be_visible()
    expect(page.locator("#clock")).not_to_be_empty()
    expect(page.locator("#stale")).to_be_hidden()
