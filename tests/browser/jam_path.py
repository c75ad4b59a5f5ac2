"""How annex staff find a jam and end it from the board, tap by tap, with a picture of each step.

Somebody new has the board's link on a phone, or stands before a counter's screen.  Opening the link is the first tap;
what appears by itself, and what is done at the printer, is none.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect
from tests.browser.town import Town

from annexfleet_controller.store.database import open_database

MOST_TAPS = 3
SCREENS = {"phone": (390, 844), "counter": (1280, 800)}
PATIENCE_MS = 60_000
_START = """<!doctype html><meta name="viewport" content="width=device-width"><title>.</title>
<body style="display: grid; place-content: center; block-size: 90vh; font: 1.25rem sans-serif"><a href="{}">{}</a>"""
"""Where the link stands: a message that the IT service sent."""


class Taps:
    """One person before one screen: counts the taps, and photographs what is seen without scrolling any further."""

    def __init__(self, page: Page, pictures: Path, name: str) -> None:
        self.count = 0
        self.taken: list[Path] = []
        self._page = page
        self._pictures = pictures
        self._name = name

    def tap(self, place: Locator) -> None:
        self.count += 1
        assert self.count <= MOST_TAPS, f"tap {self.count} is one too many"
        place.tap() if self._name.endswith("phone") else place.click()

    def photograph(self, what: str) -> None:
        picture = self._pictures / f"jam-{self._name}-{len(self.taken) + 1}-{what}.png"
        self._page.screenshot(path=picture)
        self.taken.append(picture)


def walk(browser: Browser, template: Path, home: Path, pictures: Path, *, language: str, screen: str) -> Taps:
    """Go the path in a town of its own, whose database begins as `template`.

    Returns the taps that were needed, with the pictures, which are named `jam-<language>-<screen>-<step>-<what>.png`.
    Raises AssertionError where the path is longer than three taps, or does not lead there.
    """
    home.mkdir(parents=True)
    shutil.copyfile(template, home / "controller.db")
    engine = open_database(f"sqlite:///{home / 'controller.db'}")
    town = Town(engine, home)
    width, height = SCREENS[screen]
    with town.served():
        context = browser.new_context(
            base_url=town.address, locale=language, viewport={"width": width, "height": height},
            has_touch=screen == "phone", is_mobile=screen == "phone", reduced_motion="reduce",
        )  # fmt: skip
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        taps = Taps(page, pictures, f"{language}-{screen}")
        _go(town, page, taps)
        context.close()
    engine.dispose()
    return taps


def _go(town: Town, page: Page, taps: Taps) -> None:
    link = f"{town.address}{town.board('berkane-1')}"
    page.set_content(_START.format(link, link[:36] + "…"))
    taps.tap(page.locator("a"))
    expect(page.locator(".rest.well")).to_be_visible(timeout=PATIENCE_MS)
    taps.photograph("nothing-to-do")

    town.jams()
    fixed = page.locator("form[action$='/fixed'] button")
    expect(fixed).to_be_visible(timeout=PATIENCE_MS)
    taps.photograph("the-jam-and-what-to-do")
    if not _is_in_sight(page, fixed):  # scrolling is no tap
        fixed.scroll_into_view_if_needed()
        taps.photograph("the-buttons")
    taps.tap(fixed)  # the paper is out
    expect(page.locator(".task.checking progress")).to_be_visible(timeout=PATIENCE_MS)
    taps.photograph("being-checked")

    town.is_mended()
    expect(page.locator(".outcome.confirmed, .news .mark.ready").first).to_be_visible(timeout=PATIENCE_MS)
    taps.photograph("confirmed")


def _is_in_sight(page: Page, place: Locator) -> bool:
    box = place.bounding_box()
    assert box is not None
    return box["y"] + box["height"] <= page.evaluate("innerHeight")


def walks(browser: Browser, template: Path, home: Path, pictures: Path, languages: list[str]) -> Iterator[Taps]:
    """The path on every screen in each of these languages."""
    for language in languages:
        for screen in SCREENS:
            yield walk(browser, template, home / f"{language}-{screen}", pictures, language=language, screen=screen)
