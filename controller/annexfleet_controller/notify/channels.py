"""One message over one channel, one attempt: e-mail, SMS gateways, chat and more through Apprise, our own webhook.

Apprise answers yes or no and writes the reason to its log.  That log is captured for the attempt, read for a status and
thrown away, and its logger is cut off from ours: it may hold addresses, keys and what was sent.
"""

import logging
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import apprise
from msgspec import Struct

from annexfleet_controller.notify import webhook
from annexfleet_controller.notify.model import ContactKind
from annexfleet_controller.notify.outcome import Outcome, again, of_smtp, of_status, permanent, sent
from annexfleet_controller.settings import Settings

log = logging.getLogger(__name__)

TIMEOUT_S = 20.0
"""Of one attempt, everything included."""

NUMBER = "{number}"
"""Where the telephone number goes in the address of the SMS gateway."""

LOCAL_SCHEMES = frozenset({
    "blink1", "dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "vapid", "windows",
})  # fmt: skip
"""Of Apprise, those that would act on the controller's own machine or read its files; also not for mail and SMS."""

CHAT_SCHEMES = frozenset({
    "bark", "barks", "discord", "feishu", "gchat", "gotify", "gotifys", "lark", "line", "matrix", "matrixs", "mmost",
    "mmosts", "ncloud", "nclouds", "nctalk", "nctalks", "ntfy", "ntfys", "opsgenie", "pagerduty", "pover", "rocket",
    "rockets", "signal", "signals", "slack", "synology", "synologys", "tgram", "threema", "twist", "webex", "whatsapp",
    "workflow", "workflows", "wxteams", "zoom", "zulip",
})  # fmt: skip
"""What the address of a chat may begin with: services that carry words to people over HTTP, and nothing else.

Not those that let the address choose the request (json, xml, form: that is what `webhook` is for), that publish where
devices listen (mqtt, amqp), or that send mail past `mail_url`.
"""

# Its levels must be open for the capture; nothing of it reaches our logs.
_of_apprise = logging.getLogger("apprise")
_of_apprise.setLevel(logging.DEBUG)
_of_apprise.propagate = False
_of_apprise.addHandler(logging.NullHandler())
# It writes the path of an address, which may be a key, where a connection is retried.
logging.getLogger("urllib3").setLevel(logging.ERROR)

_HTTP_STATUS = re.compile(r"error=(\d{3})\b")
_SMTP_STATUS = re.compile(r"\((\d{3}), b?['\"]")

_SIGNS = (
    ("timed out", again("timed_out")),
    ("certificate", again("certificate_wrong")),
    ("[ssl", again("certificate_wrong")),
    ("auth extension not supported", permanent("unauthorised", "SMTP AUTH")),
)


class Ways(Struct, frozen=True, kw_only=True):
    """How this controller reaches mail and telephones."""

    mail_url: str = ""
    """Apprise's address of the mail server, such as `mailtos://user:password@mail.example.ma?from=annexfleet@...`"""
    sms_url: str = ""
    """Apprise's address of the SMS gateway, with `{number}` where the number goes."""
    link_local_allowed: bool = False


def ways_of(settings: Settings) -> Ways:
    return Ways(mail_url=settings.mail_url, sms_url=settings.sms_url, link_local_allowed=settings.notices_to_link_local)


class Destination(Struct, frozen=True):
    kind: ContactKind
    address: str
    secret: str = ""

    def __repr__(self) -> str:
        return f"Destination({self.kind})"  # it may stand in a traceback


class Message(Struct, frozen=True, kw_only=True):
    """What is said, in each form that a channel may take."""

    notice_id: str
    """The same at each attempt."""
    subject: str
    text: str
    html: str
    short: str
    """For a telephone."""
    json: bytes
    """For another system."""


def deliver(message: Message, to: Destination, ways: Ways, *, now: datetime) -> Outcome:
    """One attempt.  Raises nothing that the other side can cause."""
    if to.kind == "webhook":
        return webhook.post(
            to.address, message.json, secret=to.secret, notice_id=message.notice_id, now=now,
            link_local_allowed=ways.link_local_allowed,
        )  # fmt: skip
    url = apprise_url(to, ways, notice_id=message.notice_id)
    if url is None:
        return permanent("not_configured")
    service = _service(url, to.kind)
    if service is None:
        return permanent("address_wrong")
    if not ways.link_local_allowed and any(map(webhook.leads_astray, _hosts(service))):
        return permanent("address_forbidden")
    return _notify(service, message, to.kind)


def is_address(to: Destination, ways: Ways) -> bool:
    """Whether a channel understands this address; nothing is sent."""
    if to.kind == "webhook":
        try:
            parts = urlsplit(to.address)
            return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            return False
    if to.kind == "email":
        return re.fullmatch(r"[^@\s,;<>\"']{1,64}@[A-Za-z0-9.-]{1,190}", to.address) is not None
    if to.kind == "sms":
        return re.fullmatch(r"\+[0-9]{6,15}", to.address) is not None
    return _service(to.address, to.kind) is not None


def shown(kind: ContactKind, address: str) -> str:
    """What of an address may be seen again: all of a mail address and a number, of others only where they lead."""
    if kind in {"email", "sms"}:
        return address
    scheme, _, rest = address.partition("://")
    if kind == "webhook":
        host = urlsplit(address).hostname or ""
        return f"{scheme}://{host}/…"
    return f"{scheme}://…" if rest else "…"


def apprise_url(to: Destination, ways: Ways, *, notice_id: str) -> str | None:
    """Apprise's address of this destination; None where this controller has no way to it."""
    if to.kind == "email":
        if not ways.mail_url:
            return None
        glue = "&" if "?" in ways.mail_url else "?"
        notice = f"&+X-Annexfleet-Notice={quote(notice_id, safe='')}"
        return f"{ways.mail_url}{glue}to={quote(to.address, safe='@')}{notice}"
    if to.kind == "sms":
        if NUMBER not in ways.sms_url:
            return None
        return ways.sms_url.replace(NUMBER, quote(to.address.lstrip("+"), safe=""))
    return to.address


def _service(url: str, kind: ContactKind) -> "apprise.NotifyBase | None":
    """Apprise's way to this address; None where it knows none, or one that we do not go."""
    if urlsplit_scheme(url) in LOCAL_SCHEMES:
        return None
    asset = apprise.AppriseAsset(
        app_id="annexfleet", app_desc="annexfleet", app_url="", http_redirects=False, storage_mode="memory",
        image_url_mask="", image_url_logo="", service_timeout=TIMEOUT_S, pgp_autogen=False, pem_autogen=False,
    )  # fmt: skip
    service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None or kind in {"email", "sms"}:  # whose addresses stand in our own settings
        return service
    if not CHAT_SCHEMES & _schemes(service) or _names_a_file(service):
        return None
    if hasattr(service, "discovery"):
        service.discovery = False  # Matrix: the other side would say where to go instead, which nobody judges
    return service


def _schemes(service: Any) -> set[str]:
    """All that an address of this service may begin with; it may also be a web address that Apprise takes for one."""
    found: set[str] = set()
    for protocols in (service.protocol, service.secure_protocol):
        found |= {protocols} if isinstance(protocols, str) else set(protocols or ())
    return found


def _names_a_file(service: Any) -> bool:
    """Whether its address names a file, such as `?template=`: Apprise would read it on this machine and send it."""
    return any(isinstance(value, apprise.AppriseAttachment) and len(value) for value in vars(service).values())


def urlsplit_scheme(url: str) -> str:
    return url.partition("://")[0].strip().lower()


def _hosts(service: Any) -> list[str]:
    found = (getattr(service, "host", None), getattr(service, "smtp_host", None))
    # Of an IPv6 address Apprise keeps the brackets, which no look-up understands.
    return [host.strip("[]") for host in dict.fromkeys(found) if isinstance(host, str) and host]


def _notify(service: "apprise.NotifyBase", message: Message, kind: ContactKind) -> Outcome:
    post = apprise.Apprise(asset=service.asset)
    post.add(service)
    body, body_format = (message.html, "html") if kind == "email" else (message.text, "text")
    title = message.subject
    if kind == "sms":
        title, body = "", message.short
    try:
        result = post.notify(
            body=body, title=title, body_format=body_format, timeout=TIMEOUT_S, log_level=logging.DEBUG,
            interpret_escapes=False,
        )  # fmt: skip
    except Exception as error:  # the fence: a plugin of a hundred that stumbles must not stop the sender
        # Without the trace, whose values may be keys.
        log.error("channel failed kind=%s error=%s", kind, type(error).__name__)  # noqa: TRY400
        return again("internal", type(error).__name__)
    if result:
        return sent()
    if result.status == apprise.AppriseResultStatus.TIMEOUT:
        return again("timed_out")
    return _judged(result.logs())


def _judged(entries: "Iterable[apprise.NotifyLogEntry]") -> Outcome:
    """What the log of a failed attempt says of its reason.

    Other lines may quote the message itself, which may hold anything.
    """
    complaints, causes = [], []
    for entry in entries:
        if entry.level in {"WARNING", "ERROR", "CRITICAL"}:
            complaints.append(entry.message)
        elif "exception" in entry.message[:20].lower():
            causes.append(entry.message)
    if found := _HTTP_STATUS.search("\n".join(complaints)):
        return of_status(int(found[1]))
    cause = "\n".join(causes)
    if found := _SMTP_STATUS.search(cause):
        return of_smtp(int(found[1]))
    for sign, outcome in _SIGNS:
        if sign in cause.lower():
            return outcome
    return again("unreachable" if causes or any("onnection" in line for line in complaints) else "unknown")
