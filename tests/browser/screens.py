"""Pictures of the pages, as people of the province would see them, to be looked at.

    python -m tests.browser.screens DIRECTORY [--page NAME]... [--width 390]... [--language fr]... [--theme dark]...
    python -m tests.browser.screens DIRECTORY --path jam [--language fr]...

Each option may stand several times; left out, everything is taken that it could say.  The pictures are named
`<page>-<language>-<theme>-<width>.png` and show whole pages.  With `--path jam` they follow somebody who finds a jam
and ends it from the board, on a phone and on a counter's screen, tap by tap (jam_path.py).  Needs Debian's Chromium.
"""

import argparse
import shutil
import sys
import tempfile
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from tests.browser import jam_path
from tests.browser.pages import PAGES, address_of
from tests.browser.town import Town

from annexfleet_controller.store import migrate
from annexfleet_controller.store.database import open_database

HEIGHTS_PX = {390: 844, 820: 1180, 1440: 900}
LANGUAGES = ("fr", "ar")
THEMES = ("light", "dark")
DRAWN_WITHIN_MS = 800
"""Charts and events come after the page."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screens", description="Write pictures of pages.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--page", action="append", choices=PAGES, metavar="NAME", help=", ".join(PAGES))
    parser.add_argument("--width", action="append", type=int, choices=HEIGHTS_PX)
    parser.add_argument("--language", action="append", choices=LANGUAGES)
    parser.add_argument("--theme", action="append", choices=THEMES)
    parser.add_argument("--path", choices=["jam"], help="the steps of a path, in the place of pages")
    wanted = parser.parse_args(arguments)
    if wanted.path and (wanted.page or wanted.width or wanted.theme):
        parser.error("a path has its own pages, screens and theme")
    program = shutil.which("chromium")
    if program is None:
        sys.stderr.write("Chromium is not installed (Debian: apt install chromium)\n")
        return 1
    wanted.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        database = Path(home) / "controller.db"
        engine = open_database(f"sqlite:///{database}")
        migrate.upgrade(engine)
        if wanted.path:
            engine.dispose()
            _take_path(browser, database, Path(home), wanted)
        else:
            _take_pages(browser, Town(engine, Path(home)), wanted)
            engine.dispose()
        browser.close()
    return 0


def _take_path(browser: Browser, template: Path, home: Path, wanted: argparse.Namespace) -> None:
    for taps in jam_path.walks(browser, template, home, wanted.directory, wanted.language or list(LANGUAGES)):
        sys.stdout.writelines(f"{picture}\n" for picture in taps.taken)
        sys.stdout.write(f"{taps.count} taps\n")


def _take_pages(browser: Browser, town: Town, wanted: argparse.Namespace) -> None:
    town.jams()
    with town.served():
        for shot in product(
            wanted.page or PAGES, wanted.language or LANGUAGES, wanted.theme or THEMES, wanted.width or HEIGHTS_PX
        ):
            picture = wanted.directory / ("-".join(map(str, shot)) + ".png")
            _take(browser, town, shot, picture)
            sys.stdout.write(f"{picture}\n")


def _take(browser: Browser, town: Town, shot: tuple[str, str, str, int], picture: Path) -> None:
    name, language, theme, width = shot
    context = browser.new_context(
        base_url=town.address, locale=language, viewport={"width": width, "height": HEIGHTS_PX[width]},
        color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce",
    )  # fmt: skip
    role = PAGES[name].role
    if role:
        cookie = town.cookie(role, language=language)
        context.add_cookies([{"name": "annexfleet", "value": cookie, "url": town.address}])
    page = context.new_page()
    page.goto(address_of(town, name))
    if PAGES[name].press:
        page.locator(PAGES[name].press).first.click()
    page.wait_for_timeout(DRAWN_WITHIN_MS)
    page.screenshot(path=picture, full_page=True)
    context.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
