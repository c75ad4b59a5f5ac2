"""What a notice says, in its receiver's language and in each form that a channel may take.

Every name and code may come from a hostile device: it is isolated, so that it cannot turn the text around it.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from annexfleet_controller.i18n import formats
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.direction import isolated, plain
from annexfleet_controller.i18n.guidance import Guidance, guidance
from annexfleet_controller.notify import sms
from annexfleet_controller.notify.channels import Message
from annexfleet_controller.notify.model import Item, NoticeKind
from annexfleet_controller.things import Facts, Incident

MOST_IN_A_DIGEST = 20
_LONGEST_WORD = 300
"""Characters of what somebody wrote who asks for help; the page of the incident has all of it."""
_MOST_PLACES = 3
JSON_VERSION = 1


class Place(Struct, frozen=True):
    """An annex's names."""

    name_fr: str
    name_ar: str


class Call(Struct, frozen=True):
    """Somebody asks for help."""

    at: datetime
    by: str
    """Empty if nobody is named."""
    text: str
    """What they wrote; empty if nothing."""


class Said(Struct, frozen=True):
    """One incident, and what is said of it."""

    item: Item
    incident: Incident
    call: Call | None = None
    """Who asks for help, where that is what is said."""


def message(
    language: Language,
    kind: NoticeKind,
    said: Sequence[Said],
    places: Mapping[str, Place],
    *,
    notice_id: str,
    public_url: str,
    now: datetime,
) -> Message:
    """The whole message.  `said` is empty for a test."""
    writer = _Writer(language, places, public_url.rstrip("/"), now)
    if not said:
        subject = language.gettext("annexfleet: this is a test")
        paragraphs = [[language.gettext("If you can read this, notices reach you here. You need do nothing.")]]
        short = [subject]
    elif len(said) == 1:
        subject = writer.subject(said[0])
        paragraphs = [writer.lines(said[0])]
        short = writer.short(said[0])
    else:
        subject = writer.digest_subject(said)
        paragraphs = [[f"{writer.subject(one)}.", *writer.lines(one)[1:]] for one in said[:MOST_IN_A_DIGEST]]
        if (rest := len(said) - MOST_IN_A_DIGEST) > 0:
            paragraphs.append([_counted(language.ngettext("and %(num)s more", "and %(num)s more", rest), rest)])
        if public_url:
            paragraphs.append([writer.link("/incidents")])
        short = writer.short_digest(said)
    return Message(
        notice_id=notice_id,
        subject=_one_line(subject),
        text="\n\n".join("\n".join(lines) for lines in paragraphs) + "\n",
        html=_html(language, paragraphs),
        short=sms.fitted(short),
        json=_json(writer, kind, said, notice_id=notice_id, now=now),
    )


class _Writer:
    """Sentences about incidents, in one language."""

    def __init__(self, language: Language, places: Mapping[str, Place], public_url: str, now: datetime) -> None:
        self._language = language
        self._places = places
        self._public_url = public_url
        self._now = now

    def guidance(self, incident: Incident) -> Guidance:
        # Where it is stands in the subject already, so the annex is no fact here.
        return guidance(self._language, incident.cause, shown_facts(self._language, incident.facts))

    def where(self, incident: Incident) -> str:
        """The annex, or the first few; the province for what belongs to none."""
        annexes = incident.annexes or ((incident.annex_id,) if incident.annex_id else ())
        if not annexes:
            return self._language.gettext("the whole province")
        names = [self._name(annex_id) for annex_id in annexes[:_MOST_PLACES]]
        shown = self._language.gettext(", ").join(names)
        if (rest := len(annexes) - _MOST_PLACES) <= 0:
            return shown
        more = self._language.ngettext("and %(num)s more", "and %(num)s more", rest)
        return f"{shown} {_counted(more, rest)}"

    def subject(self, one: Said) -> str:
        """One line without a full stop."""
        gettext = self._language.gettext
        frame = {
            "opened": gettext("%(annex)s: %(title)s"),
            "worsened": gettext("%(annex)s, it got worse: %(title)s"),
            "reminder": gettext("%(annex)s, still waiting for an answer: %(title)s"),
            "escalation": gettext("%(annex)s, nobody has answered yet: %(title)s"),
            "help": gettext("%(annex)s asks for help: %(title)s"),
            "resolved": gettext("%(annex)s, it is over: %(title)s"),
        }[one.item.what]
        return frame % {"annex": isolated(self.where(one.incident)), "title": self.guidance(one.incident).title}

    def digest_subject(self, said: Sequence[Said]) -> str:
        counted = self._language.ngettext("annexfleet: %(num)s matter", "annexfleet: %(num)s matters", len(said))
        worst = said[0]
        return self._language.gettext("%(count)s, first: %(subject)s") % {
            "count": _counted(counted, len(said)), "subject": self.subject(worst),
        }  # fmt: skip

    def lines(self, one: Said) -> list[str]:
        """Everything about one incident, the subject first."""
        gettext, incident, words = self._language.gettext, one.incident, self.guidance(one.incident)
        lines = [f"{self.subject(one)}."]
        began = formats.moment(self._language, incident.began_at)
        if one.item.what == "resolved":
            ended_at = incident.ended_at or incident.resolved_at or self._now
            lasted = formats.duration(self._language, max(0.0, (ended_at - incident.began_at).total_seconds()))
            lines.append(gettext("It began on %(moment)s and lasted %(duration)s.")
                         % {"moment": began, "duration": lasted})  # fmt: skip
        else:
            lines += self._asking(one)
            lines.append(gettext("Since %(moment)s.") % {"moment": began})
            severity = self._language.name("severity", incident.severity)
            lines.append(gettext("Severity: %(severity)s.") % {"severity": severity})
            lines += self._affected(incident)
            if words.action:
                lines.append(gettext("What to do: %(action)s") % {"action": words.action})
        if self._public_url:
            lines.append(self.link(f"/incidents/{incident.id}"))
        return lines

    def short(self, one: Said) -> list[str]:
        """Pieces for a telephone; the first ones matter most."""
        pieces = [f"{self.subject(one)}."]
        if one.item.what == "help":  # the way to answer first, then who asks, and the word if it fits
            link = [self.url(one.incident)] if self._public_url else []
            return [*pieces, *link, *self._asking(one)]
        if one.item.what != "resolved":
            began = formats.moment(self._language, one.incident.began_at)
            pieces.append(self._language.gettext("Since %(moment)s.") % {"moment": began})
        if self._public_url:
            pieces.append(f"{self._public_url}/incidents/{one.incident.id}")
        return pieces

    def short_digest(self, said: Sequence[Said]) -> list[str]:
        return [f"{self.digest_subject(said)}.", *([f"{self._public_url}/incidents"] if self._public_url else [])]

    def link(self, path: str) -> str:
        return self._language.gettext("Details: %(link)s") % {"link": isolated(f"{self._public_url}{path}")}

    def url(self, incident: Incident) -> str:
        return f"{self._public_url}/incidents/{incident.id}" if self._public_url else ""

    def _asking(self, one: Said) -> Iterable[str]:
        """Who asks for help, and what they wrote."""
        if one.item.what != "help":
            return
        gettext, call = self._language.gettext, one.call
        who = isolated(call.by) if call is not None and call.by else gettext("staff of the annex")
        if call is None:
            yield gettext("Asked by %(who)s.") % {"who": who}
            return
        moment = formats.moment(self._language, call.at)
        yield gettext("Asked by %(who)s on %(moment)s.") % {"who": who, "moment": moment}
        if word := _one_line(plain(call.text)):
            yield gettext("They write: %(text)s") % {"text": isolated(_shortened(word))}

    def _affected(self, incident: Incident) -> Iterable[str]:
        rank, gettext = incident.rank, self._language.gettext
        people = round(rank.people_waiting)
        if people > 0 and rank.people_estimated:
            yield _counted(self._language.ngettext(
                "About %(num)s person is waiting, as is usual at this hour.",
                "About %(num)s people are waiting, as is usual at this hour.", people,
            ), people)  # fmt: skip
        elif people > 0:
            yield _counted(self._language.ngettext(
                "%(num)s person is waiting.", "%(num)s people are waiting.", people
            ), people)  # fmt: skip
        if rank.services_blocked:
            names = (isolated(self._language.name("service", one)) for one in rank.services_blocked[:10])
            yield gettext("Services that cannot be given: %(services)s.") % {"services": gettext(", ").join(names)}

    def _name(self, annex_id: str) -> str:
        place = self._places.get(annex_id)
        if place is None:
            return annex_id
        return place.name_ar if self._language.code == "ar" else place.name_fr


def shown_facts(language: Language, facts: Facts) -> dict[str, str]:
    """An incident's facts as guidance wants them: amounts written out, names as they are."""
    found = {}
    for name, value in facts.items():
        if isinstance(value, str):
            found[name] = value
        elif name in _AMOUNTS:
            fact, written = _AMOUNTS[name]
            found.setdefault(fact, written(language, value))
    return found


_AMOUNTS = {
    "ratio": ("ratio", formats.percent),
    "seconds": ("time", formats.duration),
    "hours": ("time", lambda language, hours: formats.duration(language, hours * 3600)),
    "days": ("time", lambda language, days: formats.duration(language, days * 86_400)),
    "celsius": ("temperature", formats.celsius),
    "count": ("count", formats.number),
    "jobs": ("count", formats.number),
}


def _html(language: Language, paragraphs: Iterable[Sequence[str]]) -> str:
    """The same as plain text, for programs that show only this: no picture, no colour, no address to follow."""
    inner = "".join(f"<p>{'<br>'.join(html.escape(line) for line in lines)}</p>" for lines in paragraphs)
    return f'<div lang="{language.code}" dir="{language.direction}">{inner}</div>'


def _json(writer: _Writer, kind: NoticeKind, said: Sequence[Said], *, notice_id: str, now: datetime) -> bytes:
    """What another system gets; the shape is told in the room's README."""
    incidents = []
    for item, incident, call in ((one.item, one.incident, one.call) for one in said):
        words = writer.guidance(incident)
        incidents.append(
            {
                "id": incident.id, "what": item.what, "state": incident.state, "kind": incident.kind,
                "cause": incident.cause, "severity": incident.severity, "annexes": incident.annexes,
                "thing": {"kind": incident.thing.kind, "id": incident.thing.id}, "began_at": incident.began_at,
                "opened_at": incident.opened_at, "resolved_at": incident.resolved_at,
                "acknowledged_at": incident.acknowledged_at, "people_waiting": incident.rank.people_waiting,
                "services_blocked": incident.rank.services_blocked, "title": plain(words.title),
                "action": plain(words.action), "url": writer.url(incident), **_called(call),
            }
        )  # fmt: skip
    return msgspec.json.encode(
        {"version": JSON_VERSION, "notice": notice_id, "kind": kind, "sent_at": now, "incidents": incidents}
    )


def _called(call: Call | None) -> dict[str, object]:
    """Who asks for help, for another system; nothing where nobody does."""
    if call is None:
        return {}
    return {"help": {"asked_at": call.at, "asked_by": plain(call.by), "text": _shortened(plain(call.text))}}


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_WORD else f"{text[:_LONGEST_WORD].rstrip()}…"


def _counted(sentence: str, count: int) -> str:
    """With the number, where the plural form has a place for it: Arabic says "two matters" without one."""
    return sentence % {"num": count}


def _one_line(text: str) -> str:
    return " ".join(text.split())
