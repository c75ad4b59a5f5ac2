"""Pages from templates: one Jinja environment a language, so that a template's words are those of its reader.

Everything a device said is hostile until shown: it is escaped, and set apart so that it cannot turn the direction of
the text around it (`|apart`).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from annexfleet_agent.protocol.messages import Value
from annexfleet_controller import zones
from annexfleet_controller.access.asked import language_of
from annexfleet_controller.access.door import SAFE_METHODS
from annexfleet_controller.access.once import new_number
from annexfleet_controller.access.person import Person
from annexfleet_controller.calendars.document import time
from annexfleet_controller.i18n import formats, readings
from annexfleet_controller.i18n.catalogues import CODES, Language, language
from annexfleet_controller.i18n.direction import isolated, plain
from annexfleet_controller.i18n.guidance import guidance, media_name, tray_number
from annexfleet_controller.store import database, incidents
from annexfleet_controller.web.paths import page_of

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
ICONS = frozenset((Path(__file__).parent / "icons.txt").read_text(encoding="utf-8").split())
"""The icons that the build puts into static/vendor/icons.svg."""
POINTING = ICONS & {
    "arrow-left", "arrow-right", "chevron-left", "chevron-right", "external-link", "list", "list-checks", "log-in",
    "log-out", "rotate-ccw", "send", "trending-down", "trending-up", "truck", "undo-2", "volume-2", "volume-x",
}  # fmt: skip
"""Those that point along the line of reading: mirrored where it runs from right to left."""

_A_YEAR = timedelta(days=366)
THEME_COOKIE = "annexfleet_theme"
THEMES = ("light", "dark")
"""What a person may choose; without a choice the system's is followed."""

Renders = Callable[..., HTMLResponse]


def apart(text: object) -> Markup:
    """A device's word for the body of a page, with a direction of its own."""
    return Markup("<bdi>{}</bdi>").format(plain(text))


def icon(name: str) -> Markup:
    """An icon beside words that say the same: no reader of a screen hears it.

    Raises LookupError for a name that is not in icons.txt, so that no page is shown with a hole in it.
    """
    if name not in ICONS:
        raise LookupError(f"icon {name!r} is not in web/icons.txt")
    return Markup('<svg class="icon{}" aria-hidden="true"><use href="/static/vendor/icons.svg#{}"/></svg>').format(
        " pointing" if name in POINTING else "", name
    )


def theme_of(request: Request) -> str:
    """`light` or `dark` as chosen in this browser, else nothing."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def page(request: Request, template: str, *, block: str = "", status: int = 200, **context: Any) -> HTMLResponse:
    """A page in the reader's language; with `block` only that part of it, for htmx."""
    of = environment(language_of(request).code)
    person: Person | None = getattr(request.state, "person", None)
    if "open_incidents" not in context:
        context["open_incidents"] = _open_incidents(request, person)
    context = (
        {"events": "", "here": context.get("here") or page_of(request)}
        | context
        | {
            "person": person,
            "now": request.app.state.clock.now(),
            "path": request.url.path,
            "answers_form": request.method not in SAFE_METHODS,
            "theme": theme_of(request),
            "csrf_token": person.csrf_token if person else "",
        }
    )
    found = of.get_template(template)
    # A fragment is bare of blanks: a morph would put them beside the element each time, and an open page would grow.
    html = "".join(found.blocks[block](found.new_context(context))).strip() if block else found.render(context)
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


def _open_incidents(request: Request, person: Person | None) -> int | None:
    """For the menu; None for who has none."""
    if person is None or person.owes:
        return None
    with database.reading(request.app.state.engine) as db:
        return incidents.count_open(db, person.scope)


def _renders(request: Request) -> Renders:
    def render(template: str, **context: Any) -> HTMLResponse:
        return page(request, template, **context)

    return render


def _wanted_block(request: Request) -> str:
    """The id of the element that htmx will replace; empty for a whole page."""
    if request.headers.get("hx-request") != "true":
        return ""
    return request.headers.get("hx-target", "").rpartition("#")[2]


Page = Annotated[Renders, Depends(_renders)]
WantedBlock = Annotated[str, Depends(_wanted_block)]


@cache
def environment(code: str) -> Environment:
    """The templates in one language."""
    words = language(code)
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.install_gettext_translations(words.words, newstyle=True)  # type: ignore[attr-defined]  # of the extension
    made.filters |= {"apart": apart, "isolated": isolated, "plain": plain, "ahead": _ahead, **_filters(words)}
    made.filters |= {"tray": partial(_tray, words), "media": lambda media: apart(media_name(plain(media)))}
    made.globals |= {"language": words, "languages": [language(other) for other in CODES], "name": words.name}
    made.globals["icon"] = icon
    made.globals["new_number"] = new_number
    made.globals["guidance"] = partial(guidance, words)
    return made


def _ahead(now: datetime) -> str:
    """For `static/zone.js`: the province's hours ahead of UTC, of the year behind and before this moment."""
    steps = zones.ahead_of_utc(zones.PROVINCE, now.date() - _A_YEAR, now.date() + _A_YEAR)
    return " ".join(f"{since}:{ahead_s}" for since, ahead_s in steps)


def _tray(words: Language, name: str) -> Markup:
    """A tray by the number that stands on it, where its name has one; else as the printer calls it."""
    shown = plain(name)
    number = tray_number(shown)
    return apart(shown) if number == shown else escape(words.gettext("Tray %(name)s")) % {"name": apart(number)}


def _filters(words: Language) -> dict[str, Callable[..., Any]]:
    @pass_context
    def ago(context: Context, at: datetime) -> Markup:
        """How long ago, with the moment itself for who asks."""
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            at.isoformat(timespec="seconds"), formats.moment(words, at), formats.ago(words, at, context["now"])
        )

    @pass_context
    def short_moment(context: Context, at: datetime) -> Markup:
        """The time of day, with its date where that is not today's."""
        return Markup('<time datetime="{}">{}</time>').format(
            at.isoformat(timespec="seconds"), formats.short_moment(words, at, context["now"])
        )

    def author(by: str) -> Markup:
        """Who did something: a person by name, or the board or label that nobody signed in at."""
        kind, found, label = by.partition(":")
        if not found or kind not in {"board", "label"}:
            return apart(by)
        if not label:
            return escape(words.name("author", kind))
        return Markup("{}").format(words.name("author", f"{kind} %(label)s")) % {"label": apart(label)}

    def moment(at: datetime) -> Markup:
        return Markup('<time datetime="{}">{}</time>').format(
            at.isoformat(timespec="seconds"), formats.moment(words, at)
        )

    def clock_time(at: datetime) -> Markup:
        """The time of day alone, where its day stands above."""
        return Markup('<time datetime="{}">{}</time>').format(
            at.isoformat(timespec="seconds"), formats.short_moment(words, at, at)
        )

    def reading(value: Value, metric: str) -> Markup:
        """A value in words; a device's own words are set apart."""
        text = readings.text(words, metric, value)
        return escape(text) if isinstance(value, int | float) else apart(text)

    return {
        "ago": ago,
        "author": author,
        "moment": moment,
        "short_moment": short_moment,
        "clock_time": clock_time,
        "day": lambda at: formats.day(words, at),
        "reading": reading,
        "local_day": lambda on: formats.local_day(words, on),
        "weekday_and_day": lambda on: formats.weekday_and_day(words, on),
        "clock": time,
        "number": lambda value: formats.number(words, value),
        "date_of": lambda day: Markup('<time datetime="{}">{}</time>').format(
            day.isoformat(), formats.date_of(words, day)
        ),
        "percent": lambda ratio: formats.percent(words, ratio),
        "size": lambda value: formats.size(words, value),
        "opening_time": lambda seconds: formats.opening_time(words, seconds),
        "duration": lambda seconds: formats.duration(words, seconds),
    }
