"""The design holds what its README promises: readable in both themes, icons that exist, a menu of what one may do."""

import re

import pytest
from tests.controller.site import ORIGIN, Site
from tests.controller.web import places

from annexfleet_controller.store.database import writing
from annexfleet_controller.web.render import ICONS, POINTING, STATIC, TEMPLATES, THEME_COOKIE, icon

SHEETS = {path.name: path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.css"))}
TEXT_ON = [
    *(("ink", back) for back in ("paper", "card", "accent-back", "fresh", "good-back", "unknown-back")),
    *((text, back) for text in ("soft", "accent", "good", "warn", "bad", "unknown") for back in ("paper", "card")),
    *((state, f"{state}-back") for state in ("good", "warn", "bad", "unknown", "maintenance", "accent")),
    *(("accent", back) for back in ("maintenance-back", "warn-back", "good-back", "bad-back")),
    ("on-accent", "accent"), ("card", "bad"), ("card", "good"), ("soft", "unknown-back"), ("maintenance", "card"),
]  # fmt: skip
"""Text, and what it stands on: every pair that the sheets use."""
FOUND_ON = [("field", "paper"), ("field", "card"), ("accent", "paper"), ("accent", "card"), ("accent", "accent-back")]
"""Edges of fields and the frame around what has the keyboard's attention."""


def block(opening: str) -> dict[str, str]:
    """The custom properties of the rule that opens so."""
    begin = SHEETS["annexfleet.css"].index(opening)
    return dict(re.findall(r"--([\w-]+): ([^;]+);", SHEETS["annexfleet.css"][begin:].partition("}")[0]))


LIGHT = block(":root {")
DARK = LIGHT | block(':root[data-theme="dark"] {\n')


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_can_be_read(theme: dict[str, str]):
    poor = {
        (text, back): round(ratio, 2)
        for text, back in TEXT_ON
        if (ratio := contrast(theme[text], theme[back])) < 4.5
    }  # fmt: skip

    assert not poor


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_fields_and_focus_can_be_found(theme: dict[str, str]):
    assert all(contrast(theme[line], theme[back]) >= 3 for line, back in FOUND_ON)


def test_dark_by_the_system_and_dark_by_choice_are_the_same():
    by_system, by_choice = block(':root:not([data-theme="light"]) {'), block(':root[data-theme="dark"] {\n')

    assert by_system == by_choice
    assert {name for name, value in LIGHT.items() if value.startswith("#")} <= set(by_choice)


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_is_short_and_uses_tokens_that_exist(name: str):
    assert len(SHEETS[name].splitlines()) <= 400
    assert set(re.findall(r"var\(--([\w-]+)", SHEETS[name])) <= set(LIGHT)


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_mirrors_by_itself(name: str):
    physical = re.findall(
        r"(?:margin|padding|border)-(?:left|right)\b|[{;]\s*(?:left|right)\s*:|text-align: (?:left|right)|:dir\(",
        SHEETS[name],
    )

    assert not physical


def pieces(sheet: str) -> set[str]:
    """The classes that a sheet says the whole look of: those that stand alone before a brace."""
    rules = re.sub(r"/\*.*?\*/", "", SHEETS[sheet], flags=re.DOTALL)
    heads = re.findall(r"(?:^|[{}])\s*([^{}@;]+?)\s*(?=\{)", rules)
    return {
        one[1]
        for head in heads
        for part in head.split(",")
        if (one := re.fullmatch(r"\s*(?:main |table)*\.([\w-]+)", part))
    }


@pytest.mark.parametrize("name", [name for name in SHEETS if name not in {"components.css", "report_print.css"}])
def test_a_piece_is_made_in_one_place(name: str):
    """report_print.css stands alone: WeasyPrint reads no other."""
    assert {"stacked", "pager", "stats", "confirm", "filters"} <= pieces("components.css")
    assert not pieces(name) & pieces("components.css")


def test_an_icon_points_into_the_sprite_and_is_silent():
    assert 'href="/static/vendor/icons.svg#wrench"' in icon("wrench")
    assert 'aria-hidden="true"' in icon("wrench")
    assert "pointing" in icon("chevron-right")


def test_an_icon_that_is_not_in_the_list_fails():
    with pytest.raises(LookupError, match="no-such-icon"):
        icon("no-such-icon")


def test_templates_name_icons_of_the_list():
    named = set()
    for template in TEMPLATES.glob("*.html"):
        text = template.read_text(encoding="utf-8")
        for way in (
            r'icon\("([\w-]+)"\)',
            r'entry\("[^"]+", "([\w-]+)"',
            r'group\("([\w-]+)"',
            r'icon_name="([\w-]+)"',
        ):
            named |= set(re.findall(way, text))

    assert len(named) > 20
    assert named <= ICONS
    assert "chevron-right" in POINTING


def test_the_sprite_holds_every_icon_of_the_list():
    sprite = (STATIC / "vendor/icons.svg").read_text(encoding="utf-8")

    assert set(re.findall(r'<symbol id="([\w-]+)"', sprite)) == ICONS, "run python controller/hatch_build.py"
    assert sprite.count('stroke="currentColor"') == len(ICONS)


def test_the_theme_is_kept_in_the_browser_and_follows_the_system_again(site: Site):
    client = site.signed_in("staff")
    assert "data-theme" not in client.get("/").text

    answer = client.post("/theme", data={"theme": "dark", "back": "/alerts"}, headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts")
    page = client.get("/").text
    assert 'data-theme="dark"' in page
    assert '<meta name="color-scheme" content="dark">' in page

    client.post("/theme", data={"theme": "system"})
    assert "data-theme" not in client.get("/").text


@pytest.mark.parametrize(("theme", "back"), [("neon", "/"), ("dark", "//elsewhere.example/")])
def test_a_theme_that_is_not_known_and_a_way_out_are_not_taken(site: Site, theme: str, back: str):
    client = site.visitor()

    answer = client.post("/theme", data={"theme": theme, "back": back})

    assert answer.headers["location"] == "/"
    assert client.cookies.get(THEME_COOKIE) == (theme if theme == "dark" else None)


def test_a_cookie_that_is_no_theme_is_not_shown(site: Site):
    page = site.visitor().get("/sign-in", headers={"Cookie": f"{THEME_COOKIE}=neon"}).text

    assert "neon" not in page
    assert "data-theme" not in page


def menu(site: Site, role: str, annex: str = "", path: str = "/") -> str:
    page = site.signed_in(role, annex=annex).get(path).text
    return page.partition("<nav")[2].partition("</nav>")[0]


def test_the_menu_holds_what_one_may(site: Site):
    staff, technician, operator, admin = (
        set(re.findall(r'href="([^"#.]+)"', menu(site, role))) for role in ("staff", "technician", "operator", "admin")
    )

    assert staff == {"/", "/alerts", "/devices"}
    assert technician - staff == {
        "/mine", "/supplies", "/runs", "/rollouts", "/desired", "/maintenance", "/reports",
    }  # fmt: skip
    assert {"/admin/annexes", "/admin/devices", "/admin/tokens", "/admin/links", "/admin/services"} <= operator
    assert not operator & {"/admin/people", "/admin/keys"}
    assert admin - operator == {"/admin/people", "/admin/keys"}


def test_a_confined_person_is_not_shown_what_is_the_provinces(site: Site):
    with writing(site.engine) as db:
        places.annex(db, 1, site.clock.now())

    confined = menu(site, "admin", annex="berkane-1")
    assert "/admin/people" not in confined
    assert "/admin/contacts" not in confined


def test_the_menu_says_where_one_is_and_opens_that_part(site: Site):
    shown = menu(site, "operator", path="/maintenance")

    assert 'href="/maintenance" aria-current="page"' in shown
    assert shown.count("aria-current") == 1
    assert shown.count('<details name="menu-group" open>') == 1


def test_the_menu_opens_without_a_script(site: Site):
    page = site.signed_in("staff").get("/").text

    assert 'popovertarget="menu"' in page
    assert re.search(r'<div class="menu" id="menu" popover>', page)
    assert '<a class="skip" href="#content">' in page


def test_who_is_not_signed_in_has_languages_and_no_menu(site: Site):
    page = site.visitor().get("/sign-in").text

    assert 'class="languages"' in page
    assert "<nav" not in page
    assert '<body class="bare"' in page


@pytest.mark.parametrize(
    ("path", "target"), [("/", "div#annexes"), ("/alerts", "div#list"), ("/alerts", "span#alerts-count")]
)
def test_a_fragment_is_one_element_so_that_a_page_left_open_does_not_grow(site: Site, path: str, target: str):
    asked = {"HX-Request": "true", "HX-Target": target}
    fragment = site.signed_in("operator").get(path, headers=asked).text
    tag, _, name = target.partition("#")

    assert fragment.startswith(f'<{tag} id="{name}"')
    assert fragment.endswith(f"</{tag}>")
