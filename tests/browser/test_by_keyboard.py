"""With the keyboard alone, in the colours, the language and the calm that somebody chose."""

import re

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import DESKTOP, PHONE, Opened
from tests.browser.pages import MOST_VISITED, PAGES, address_of
from tests.browser.town import Town
from tests.controller.site import PASSWORD

MOST_STOPS = 80
FOCUS = """() => {
  const of = document.activeElement;
  const frame = (one) => {
    const style = one && getComputedStyle(one);
    return Boolean(style) && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  };
  const box = of.getBoundingClientRect();
  const inSight = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const unseen = getComputedStyle(of).opacity === "0" || box.width <= 1;  // its words bear the frame in its place
  return {
    stop: `${of.tagName} ${of.id} ${of.name || ""} ${of.textContent.trim().slice(0, 40)}`,
    shown: inSight && (unseen ? frame(of.nextElementSibling) || frame(of.parentElement) : frame(of)),
  };
}"""


def steps_to(page: Page, wanted: str) -> None:
    """Tab until what is wanted has the focus; at every stop one sees where one is."""
    hidden = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            continue  # at the end of the page, on the way to its beginning
        stop = page.evaluate(FOCUS)
        if not stop["shown"]:
            hidden.append(stop["stop"])
        if page.evaluate("(wanted) => document.activeElement.matches(wanted)", wanted):
            assert hidden == []
            return
    pytest.fail(f"{wanted} is not reached with {MOST_STOPS} tabs; last at {page.evaluate(FOCUS)}")


@pytest.mark.parametrize(
    ("language", "size"), [("fr", DESKTOP), pytest.param("ar", PHONE, marks=pytest.mark.trial)], ids=["fr", "ar-phone"]
)
def test_from_signing_in_to_signing_out(town: Town, opened: Opened, language: str, size: tuple[int, int]):
    town.jams()
    town.site.signed_in("technician", name="karim")  # somebody who has a password
    page = opened(town, "/sign-in", language=language, size=size)
    keyboard = page.keyboard
    expect(page.locator("[name=name]")).to_be_focused()

    keyboard.type("karim")
    steps_to(page, "[name=password]")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    page.wait_for_url(f"{town.address}/")
    if size == PHONE:
        steps_to(page, ".menu-button[popovertarget=menu]")
        keyboard.press("Enter")
    steps_to(page, "nav a[href='/alerts']")
    keyboard.press("Enter")
    page.wait_for_url("**/alerts")
    steps_to(page, "article.incident h2 a")
    keyboard.press("Enter")
    page.wait_for_url("**/incidents/*")
    steps_to(page, "form[action$='/acknowledge'] button")
    keyboard.press("Enter")
    expect(page.locator(".mark.taken").first).to_contain_text("karim")
    if size == PHONE:
        steps_to(page, ".menu-button[popovertarget=menu]")
        keyboard.press("Enter")
    steps_to(page, ".me > summary")
    keyboard.press("Enter")
    steps_to(page, "form[action='/sign-out'] button")
    keyboard.press("Enter")

    page.wait_for_url("**/sign-in*")
    page.goto("/alerts")
    assert "/sign-in" in page.url


def test_the_first_stop_leads_over_the_menu_to_the_content(quiet_town: Town, opened: Opened):
    page = opened(quiet_town, "/alerts", role="technician")
    skip = page.locator(".skip")
    assert skip.bounding_box() is None or not page.evaluate(IN_SIGHT)

    page.keyboard.press("Tab")

    expect(skip).to_be_focused()
    assert page.evaluate(FOCUS)["shown"]
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


IN_SIGHT = """() => {
  const box = document.querySelector(".skip").getBoundingClientRect();
  return box.bottom > 0 && box.right > 0 && box.left < innerWidth && box.width > 1;
}"""


# -- motion

MOVES = """() => document.getAnimations().filter((one) => one.playState === "running" && one.animationName !== "framed")
  .map((one) => one.animationName || one.transitionProperty)"""
"""`framed` is the frame that stands still."""


@pytest.mark.parametrize("name", [name if name in ("device", "board") else pytest.param(name, marks=pytest.mark.trial)
                                  for name in MOST_VISITED])  # fmt: skip
def test_nothing_moves_for_who_asked_for_less_motion(quiet_town: Town, opened: Opened, name: str):
    page = opened(quiet_town, address_of(quiet_town, name), role=PAGES[name].role)

    assert page.evaluate(MOVES) == []
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


@pytest.mark.parametrize("motion", [False, True], ids=["still", "moving"])
def test_a_number_that_changed_shines_or_is_framed(town: Town, opened: Opened, motion: bool):
    town.live(1, {"": {"cpu_used_ratio": 0.12}})
    page = opened(town, f"/devices/{town.ids[0]}", role="technician", motion=motion)
    page.evaluate("""() => {
      window.began = new Promise((done) => {
        document.addEventListener("animationstart", (event) => done(event.animationName));
        setTimeout(() => done("nothing"), 20000);
      });
    }""")
    expect(page.locator("#line")).to_have_class(re.compile(r"\bon\b"))

    town.live(1, {"": {"cpu_used_ratio": 0.87}})

    expect(page.locator("[data-reading=' cpu_used_ratio']").first).to_contain_text("87")
    assert page.evaluate("began") == ("fresh" if motion else "framed")


# -- what somebody chose


def test_colours_and_language_that_were_chosen_are_kept(town: Town, opened: Opened):
    page = opened(town, "/alerts", role="technician")
    look = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(look)

    page.locator(".me > summary").click()
    page.locator("form.themes button[value=dark]").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.url.endswith("/alerts")
    page.locator(".own form.languages button[value=ar]").click()
    expect(page.locator("html")).to_have_attribute("dir", "rtl")

    for act in (page.reload, lambda: page.goto("/devices")):
        act()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(page.locator("html")).to_have_attribute("lang", "ar")
        assert page.evaluate(look) != light
    page.locator(".me > summary").click()
    page.locator("form.themes button[value=system]").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", re.compile("."))
    page.reload()
    assert page.evaluate(look) == light


def test_a_board_keeps_the_language_that_was_chosen(quiet_town: Town, opened: Opened):
    page = opened(quiet_town, quiet_town.board("berkane-1"), size=PHONE)

    page.locator(".languages button[value=ar]").click()

    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "ar")
