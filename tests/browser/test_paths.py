"""What each kind of person comes for, from the first page to the end, in a real browser, in French and in Arabic."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.browser import jam_path
from tests.browser.conftest import PHONE, Opened
from tests.browser.town import Town

pytestmark = pytest.mark.parametrize("language", ["fr", pytest.param("ar", marks=pytest.mark.trial)])


def test_a_first_sign_in_ends_at_the_province_with_a_password_of_ones_own(town: Town, opened: Opened, language: str):
    once = town.site.person("amina", "staff", annex="berkane-1")
    page = opened(town, "/sign-in", language=language, size=PHONE)

    page.fill("[name=name]", "amina")
    page.fill("[name=password]", "wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    page.fill("[name=password]", once)
    page.keyboard.press("Enter")
    page.wait_for_url("**/password")
    page.fill("[name=old]", once)
    page.fill("[name=new]", "sept tasses de thé")
    page.fill("[name=again]", "sept tasses de thé")
    page.keyboard.press("Enter")

    page.wait_for_url(f"{town.address}/")
    expect(page.get_by_role("link", name="المسيرة" if language == "ar" else "Al Massira").first).to_be_visible()


def test_staff_see_a_jam_come_say_that_it_is_mended_and_are_believed_when_the_printer_says_so(
    town: Town, opened: Opened, language: str
):
    page = opened(town, "/", role="staff", annex="berkane-1", language=language, size=PHONE)
    expect(page.locator("#line")).to_have_class(re.compile(r"\bon\b"))

    town.jams()
    page.locator("a[href^='/incidents/']").first.click()
    page.wait_for_url("**/incidents/*")
    page.locator("form[action$='/fixed'] button").click()
    expect(page.locator("progress")).to_be_visible()
    town.is_mended()

    expect(page.locator(".outcome.confirmed")).to_be_visible()


def test_annex_staff_mend_a_jam_from_the_board_with_one_tap_and_without_a_password(
    town: Town, opened: Opened, language: str
):
    town.jams()
    page = opened(town, town.board("berkane-1"), language=language, size=PHONE)
    saved: list[str] = []
    page.on("download", lambda download: saved.append(download.suggested_filename))

    page.locator("form[action$='/fixed'] button").click()  # the only tap
    expect(page.locator("#state progress")).to_be_visible()
    town.is_mended()

    expect(page.locator(".outcome.confirmed, .news .mark.ready").first).to_be_visible()
    assert page.locator(".task:not(.done)").count() == 0
    assert saved == []


@pytest.mark.trial
@pytest.mark.parametrize("screen", jam_path.SCREENS)
def test_somebody_new_finds_and_ends_a_jam_in_three_taps(
    *, chromium: Browser, sqlite_template: Path, tmp_path: Path, language: str, screen: str
):
    taps = jam_path.walk(chromium, sqlite_template, tmp_path / "home", tmp_path, language=language, screen=screen)

    assert taps.count <= 3
    assert [picture.stat().st_size > 0 for picture in taps.taken].count(True) >= 4


def test_a_technician_takes_trouble_in_charge_and_it_is_seen_on_another_screen(
    town: Town, opened: Opened, language: str
):
    town.jams()
    other = opened(town, "/alerts", role="operator", language=language)
    expect(other.locator("#line")).to_have_class(re.compile(r"\bon\b"))
    page = opened(town, "/alerts", role="technician", language=language, size=PHONE)

    page.locator("input[name=incident]").first.check()
    page.locator(".bulk input[name=note]").fill("J'arrive vers 11 h")
    page.locator(".bulk button").click()

    expect(page.locator(".mark.taken").first).to_contain_text("technician-province")
    expect(other.locator(".mark.taken").first).to_contain_text("technician-province")


def test_a_page_that_was_open_while_the_server_went_says_so_and_goes_on_when_it_is_back(
    sqlite_engine, tmp_path, opened: Opened, language: str
):
    town = Town(sqlite_engine, tmp_path)
    with town.served():
        page = opened(town, "/alerts", role="operator", language=language)
        expect(page.locator("#line")).to_have_class(re.compile(r"\bon\b"))
    expect(page.locator("#line")).to_have_class(re.compile(r"\boff\b"))

    town.jams()
    with town.served():
        expect(page.locator("#line")).to_have_class(re.compile(r"\bon\b"))
        expect(page.locator("article.incident")).to_be_visible()
        page.close()


def test_numbers_of_a_device_change_where_they_stand(town: Town, opened: Opened, language: str):
    town.live(1, {"": {"cpu_used_ratio": 0.12}})
    page = opened(town, f"/devices/{town.ids[0]}", role="technician", language=language)
    expect(page.locator("#line")).to_have_class(re.compile(r"\bon\b"))

    town.live(1, {"": {"cpu_used_ratio": 0.87}})

    expect(page.locator("[data-reading=' cpu_used_ratio']").first).to_contain_text("87")


def test_an_operator_plans_maintenance_with_the_keyboard_alone(town: Town, opened: Opened, language: str):
    page = opened(town, "/maintenance", role="operator", language=language)

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # over the menu, to the content
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "reason":
            break
    page.keyboard.type("Nouveau routeur")
    page.keyboard.press("Enter")

    expect(page.get_by_text("Nouveau routeur").first).to_be_visible()


def test_without_scripts_every_step_of_taking_charge_works(town: Town, opened: Opened, language: str):
    town.jams()
    page = opened(town, "/alerts", role="technician", language=language, scripts=False)

    page.locator("article.incident h2 a").first.click()
    page.locator("form[action$='/acknowledge'] button").first.click()

    expect(page.locator(".mark.taken, .story").first).to_contain_text("technician-province")
