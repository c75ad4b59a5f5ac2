"""Every page, as a person sees it: nothing that a screen reader stumbles over, nothing wider than the screen."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from tests.browser.conftest import DESKTOP, Opened
from tests.browser.pages import ELSEWHERE, MOST_VISITED, PAGES, address_of
from tests.browser.town import Town

from annexfleet_controller.app import policies

NARROW = (320, 700)
LANGUAGES = ("fr", "ar", "en")

axe = Axe()
COLOURS_ALONE: dict[str, object] = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""The other theme has the same elements."""


def _found(page: Page, options: dict[str, object] | None = None) -> list[str]:
    """What axe-core objects to, a line a rule and place."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe.axe_script)
    told = page.evaluate("(options) => axe.run(options)", {"resultTypes": ["violations"], **(options or {})})
    return [
        f"{rule['id']}: {node['target']} {node['html'][:160]}" for rule in told["violations"] for node in rule["nodes"]
    ]


def test_every_page_is_looked_at(quiet_town: Town):
    pages = {path for method, path in policies(quiet_town.site.app) if method == "GET" and not path.startswith("/api/")}
    looked_at = [address_of(quiet_town, name).partition("?")[0] for name in PAGES]

    def is_looked_at(path: str) -> bool:
        pattern = re.compile(re.sub(r"\\{[\w:]+\\}", "[^/]+", re.escape(path)))
        return any(pattern.fullmatch(address) for address in looked_at)

    assert {path for path in pages - set(ELSEWHERE) if not is_looked_at(path)} == set()
    assert set(ELSEWHERE) <= pages


LOOKS = [
    pytest.param(
        name, *[("fr", False), ("ar", True)][number % 2], id=f"{'ar-dark' if number % 2 else 'fr-light'}-{name}"
    )
    for number, name in enumerate(MOST_VISITED)
]


@pytest.mark.parametrize(("name", "language", "dark"), LOOKS)
def test_axe_objects_to_nothing_and_nothing_is_wider_than_a_small_phone(
    quiet_town: Town, opened: Opened, name: str, language: str, dark: bool
):
    page = opened(quiet_town, address_of(quiet_town, name), role=PAGES[name].role, language=language, dark=dark)

    assert page.evaluate("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
    assert _found(page) == []
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= NARROW[0]


@pytest.mark.trial
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_objects_to_nothing_anywhere(quiet_town: Town, opened: Opened, name: str, language: str):
    page = opened(quiet_town, address_of(quiet_town, name), role=PAGES[name].role, language=language)
    found = {}

    for size in (DESKTOP, NARROW):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme="light")
        found["light", size] = _found(page)
        page.emulate_media(color_scheme="dark")
        found["dark", size] = _found(page, COLOURS_ALONE)

    assert {where: said for where, said in found.items() if said} == {}
    assert page.evaluate("document.scrollingElement.scrollWidth") <= NARROW[0]
