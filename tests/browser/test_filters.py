"""Lists that are narrowed as one types: the address always says what is shown; without a script a button does it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.browser.conftest import Opened
from tests.browser.town import Town


def devices(page: Page) -> Locator:
    return page.locator(".found-devices tbody tr")


def annexes(page: Page) -> Locator:
    return page.locator("#annexes section.annex")


LISTS = pytest.mark.parametrize(
    ("path", "words", "shown", "all_of_them"), [("/devices", "borne", devices, 6), ("/", "Salam", annexes, 2)]
)


@LISTS
def test_the_address_follows_what_is_typed(
    *, quiet_town: Town, opened: Opened, path: str, words: str, shown: Callable[[Page], Locator], all_of_them: int
):
    page = opened(quiet_town, path, role="technician")
    expect(shown(page)).to_have_count(all_of_them)
    visited = page.evaluate("history.length")

    page.locator("[name=q]").press_sequentially(words)

    expect(page).to_have_url(re.compile(rf"{path}\?q={words}$"))
    expect(shown(page)).to_have_count(1)
    page.reload()
    expect(page.locator("[name=q]")).to_have_value(words)
    expect(shown(page)).to_have_count(1)
    page.fill("[name=q]", "")
    expect(page).to_have_url(re.compile(rf"{path}$"))
    expect(shown(page)).to_have_count(all_of_them)
    assert page.evaluate("history.length") == visited  # "back" leads to the page before, not to the letter before


@LISTS
def test_without_scripts_the_button_does(
    *, quiet_town: Town, opened: Opened, path: str, words: str, shown: Callable[[Page], Locator], all_of_them: int
):
    page = opened(quiet_town, path, role="technician", scripts=False)

    page.fill("[name=q]", words)
    page.locator("form.filters button").click()

    expect(page).to_have_url(re.compile(rf"\?(.*&)?q={words}(&|$)"))
    expect(shown(page)).to_have_count(1)
    expect(page.locator("[name=q]")).to_have_value(words)


def test_a_choice_counts_at_once_and_what_was_typed_stays(quiet_town: Town, opened: Opened):
    page = opened(quiet_town, "/devices?q=guichet", role="technician")

    page.select_option("[name=role]", "kiosk")

    expect(devices(page)).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/devices\?q=guichet&role=kiosk$"))
    page.select_option("[name=role]", "counter")
    expect(devices(page)).to_have_count(4)
    expect(page).to_have_url(re.compile(r"/devices\?q=guichet&role=counter$"))
