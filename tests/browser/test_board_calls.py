"""A board calls people by sound or notification only where somebody switched that on, and once for each new thing."""

import re

from playwright.sync_api import Page, expect
from tests.browser.conftest import PHONE, Opened
from tests.browser.town import Town

CALLS = """
window.calls = { tones: 0, notes: [] };
const part = (more) => ({ connect: (next) => next, ...more });
window.AudioContext = class {
  currentTime = 0;
  destination = part({});
  resume() {}
  createOscillator() { return part({ frequency: {}, start: () => { calls.tones += 1; }, stop: () => {} }); }
  createGain() { return part({ gain: { setValueAtTime() {}, exponentialRampToValueAtTime() {} } }); }
};
window.Notification = class {
  static get permission() { return localStorage.getItem("answer") || "default"; }
  static async requestPermission() {
    localStorage.setItem("answer", new URLSearchParams(location.search).get("answer") || "granted");
    return Notification.permission;
  }
  constructor(title, { body }) { calls.notes.push([title, body]); }
  close() {}
};
"""
"""In the place of loudspeakers and of the browser's own question, whose answer it keeps: it counts."""
TONES_A_CALL = 2


def calls(page: Page) -> dict:
    return page.evaluate("calls")


def has_noticed(page: Page) -> None:
    """Wait until the board has looked at what stands there, which it does twice a second."""
    page.evaluate("new Promise((done) => setTimeout(done, 1100))")


def test_a_new_thing_to_do_calls_once_and_only_where_it_is_switched_on(town: Town, opened: Opened):
    board = town.board("berkane-1")
    silent = opened(town, board, size=PHONE, before=CALLS)
    loud = opened(town, board, before=CALLS)
    expect(loud.locator("#sound")).to_have_attribute("aria-pressed", "false")
    expect(loud.locator("#notify")).to_have_attribute("aria-pressed", "false")

    loud.locator("#sound").click()
    assert calls(loud)["tones"] == TONES_A_CALL  # one hears what it is
    loud.locator("#notify").click()
    expect(loud.locator("#notify")).to_have_attribute("aria-pressed", "true")
    loud.reload()
    expect(loud.locator("#sound")).to_have_attribute("aria-pressed", "true")
    expect(loud.locator("#notify")).to_have_attribute("aria-pressed", "true")
    has_noticed(loud)
    assert calls(loud) == {"tones": 0, "notes": []}

    town.jams()
    for page in (silent, loud):
        expect(page.locator(".task")).to_be_visible()
        has_noticed(page)

    title = loud.locator(".task h2").inner_text()
    assert calls(loud) == {"tones": TONES_A_CALL, "notes": [["L’annexe a besoin de vous", title]]}
    assert calls(silent) == {"tones": 0, "notes": []}
    loud.reload()
    expect(loud.locator(".task")).to_be_visible()
    has_noticed(loud)
    assert calls(loud) == {"tones": 0, "notes": []}  # it is not new


def test_a_browser_that_refuses_notifications_is_said_to_and_the_switch_stays_off(quiet_town: Town, opened: Opened):
    page = opened(quiet_town, f"{quiet_town.board('berkane-2')}?answer=denied", before=CALLS)
    switch = page.locator("#notify")

    switch.click()

    expect(switch).to_have_text(re.compile("pas autorisées|refus"))
    expect(switch).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(switch).to_have_attribute("aria-pressed", "false")


def test_what_was_switched_on_is_switched_off_again(quiet_town: Town, opened: Opened):
    page = opened(quiet_town, quiet_town.board("berkane-2"), before=CALLS)
    switch = page.locator("#sound")
    words = switch.inner_text()

    switch.press("Enter")
    expect(switch).not_to_have_text(words)
    switch.press("Enter")

    expect(switch).to_have_text(words)
    expect(switch).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(switch).to_have_attribute("aria-pressed", "false")


def test_without_scripts_there_is_no_switch_that_does_nothing(quiet_town: Town, opened: Opened):
    page = opened(quiet_town, quiet_town.board("berkane-2"), scripts=False)

    expect(page.locator("#state")).to_be_visible()
    expect(page.locator("#sound")).to_be_hidden()
    expect(page.locator("#notify")).to_be_hidden()
