"""agent.toml as frozen structs; an error names the key.

What opens a file, runs a program or bears credentials stands here and nowhere else: the controller's desired settings
(`protocol.messages.DesiredSettings`) cannot say it.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from annexfleet_agent.protocol.actions import ACTION_CLASSES, ActionClass
from annexfleet_agent.protocol.metrics import COLLECTORS

DEFAULT_PATH = Path("/etc/annexfleet/agent.toml")
PATH_VARIABLE = "ANNEXFLEET_AGENT_SETTINGS"

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Unit = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,99}\Z")]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Connection(_Section, frozen=True, kw_only=True):
    """[connection]: who this device is and where its controller is, `annexfleet-agent enrol` wrote into the state
    directory (`identity`); here stands only what an administrator may want otherwise."""

    broker_host: str = ""
    """Another way to the same broker, such as a tunnel; its certificate must name it.  Empty: as enrolment said."""
    broker_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """0: as enrolment said."""
    keepalive_s: Annotated[int, Meta(ge=10, le=120)] = 110
    """The broker gives a silent device up after one and a half of these: 165 s."""


class Agent(_Section, frozen=True, kw_only=True):
    """[agent]"""

    state_dir: str = "/var/lib/annexfleet-agent"
    sample_period_s: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    beat_period_s: Annotated[float, Meta(ge=5, le=3600)] = 300.0
    outbox_max_bytes: Annotated[int, Meta(ge=1_000_000, le=10_000_000_000)] = 50_000_000
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Collecting(_Section, frozen=True, kw_only=True):
    """[collectors]"""

    disabled: list[str] = []
    """Names of collectors (protocol.metrics.COLLECTORS) that shall not run."""
    mounts: list[str] = []
    """File systems to report; empty: those on real drives."""
    processes: list[str] = []
    """Names of processes worth knowing about."""


class PortalCheck(_Section, frozen=True, kw_only=True):
    """[[portal]]: a web address whose health is measured from here.  May bear credentials."""

    name: Slug
    url: str
    expect_status: Annotated[int, Meta(ge=100, le=599)] = 200
    expect_text: str = ""
    period_s: Seconds = 60.0
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 10.0


class Printing(_Section, frozen=True, kw_only=True):
    """[printing]"""

    cups: str = "/run/cups/cups.sock"
    """Socket of the local print server, or host:port; empty: there is none."""
    period_s: Seconds = 30.0
    """Of asking the print server."""
    device_period_s: Seconds = 90.0
    """Of asking the printers themselves."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    heal: bool = True
    """Resume a queue that a failure stopped, when its cause is gone (printers/README.md tells the limits)."""


class Printer(_Section, frozen=True, kw_only=True):
    """[[printer]]: a network printer asked by address, whether or not a local queue leads to it."""

    name: Slug
    uri: str
    """ipp://host[:port]/path, ipps://..., or snmp://[community@]host[:port] with the extra `snmp`."""


class QueueSource(_Section, frozen=True, kw_only=True):
    """[[queue]]: where the figures of one or more service queues come from."""

    service: Slug = "main"
    """The queue's id, unless `rows` and `fields.service` give several."""
    source: Literal["http", "sql", "file", "command", "push"]
    url: str = ""
    """http: the address.  sql: postgresql://…; for SQLite give `path`."""
    headers: dict[str, str] = {}
    path: str = ""
    """file: a JSON file.  sql: a SQLite file, opened read-only."""
    query: str = ""
    """sql: a SELECT whose columns are named like the fields below."""
    argv: list[str] = []
    """command: program and arguments, run without a shell; prints JSON."""
    rows: str = ""
    """A path to the list of rows, such as `data.queues`; empty: the document itself is the row."""
    fields: dict[str, str] = {}
    """Field of the canonical row -> path expression; what is left out has the field's own name as its path."""
    period_s: Seconds = 30.0
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    max_age_s: Seconds = 300.0
    """Figures older than this are stale."""


class Push(_Section, frozen=True, kw_only=True):
    """[push]: a listener on loopback to which queue systems, and `annexfleet-agent queue set`, hand figures."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """0: no listener."""
    token_file: str = ""
    """Holds the bearer token; empty: `push.token` in the state directory, made at the first start."""


_HARMLESS_UNITS = (
    "cups.service", "cups-browsed.service", "ipp-usb.service", "avahi-daemon.service",
    "systemd-timesyncd.service", "chrony.service",
)  # fmt: skip


class Runner(_Section, frozen=True, kw_only=True):
    """[runner]: what the controller may have done on this device, by signed envelopes alone, and within what limits."""

    enabled: bool = True
    """Whether there is a runner at all.  Without one this device is only watched."""
    directory: str = ""
    """Where its keys, its memory and its receipts lie.  Empty: `runner` in the state directory, and it acts as the
    agent's own user.  For a runner of root's a directory that only root may write, and `annexfleet-agent runner trust`
    once, as root."""
    socket: str = ""
    """Where the agent reaches it.  Empty: `runner.sock` in the directory."""
    allow: list[ActionClass] = msgspec.field(default_factory=lambda: list(ACTION_CLASSES))
    """The classes of action that are taken: playbooks, and commands of the catalogue."""
    services: list[Unit] = msgspec.field(default_factory=lambda: list(_HARMLESS_UNITS))
    """Units that the command `restart_service` may touch.  None of these can cut the device off."""
    memory_max_bytes: Annotated[int, Meta(ge=32_000_000, le=1_000_000_000_000)] = 768_000_000
    """Of all that one session starts, together; what wants more is killed."""
    cpu_max_ratio: Annotated[float, Meta(gt=0, le=256)] = 0.8
    """Of one processor, for all that a session starts: people at the counter shall not notice."""
    output_max_bytes: Annotated[int, Meta(ge=65_536, le=10_000_000_000)] = 64_000_000
    """Of one request; what prints more is killed."""
    idle_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    """The runner ends when nobody spoke with it for so long."""


class Settings(_Section, frozen=True, kw_only=True):
    """The whole of agent.toml."""

    connection: Connection = Connection()
    agent: Agent = Agent()
    collectors: Collecting = Collecting()
    printing: Printing = Printing()
    push: Push = Push()
    runner: Runner = Runner()
    portal: list[PortalCheck] = []
    printer: list[Printer] = []
    queue: list[QueueSource] = []

    @property
    def state_dir(self) -> Path:
        return Path(self.agent.state_dir)

    @property
    def identity_dir(self) -> Path:
        return self.state_dir / "identity"

    @property
    def runner_dir(self) -> Path:
        return Path(self.runner.directory) if self.runner.directory else self.state_dir / "runner"

    @property
    def runner_socket(self) -> Path:
        return Path(self.runner.socket) if self.runner.socket else self.runner_dir / "runner.sock"

    @property
    def runner_is_possible(self) -> bool:
        """Whether this device takes commands: it is allowed to, and has the sockets and sessions that it needs."""
        return self.runner.enabled and os.name == "posix"

    @property
    def runner_is_own(self) -> bool:
        """Whether the runner's directory lies in the state directory: then it acts as the agent's own user."""
        return self.runner_dir.absolute().is_relative_to(self.state_dir.absolute())


class BadSettings(Exception):
    """The settings cannot be used; the message names the file, the key and what is wrong."""


def path_from(option: str | None) -> Path | None:
    """The file to read: the option, the environment's, or the default; None if only the default is left and missing."""
    named = option or os.environ.get(PATH_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_PATH if DEFAULT_PATH.exists() else None


def load(path: Path | None) -> Settings:
    """The settings in a file; None gives the defaults.  Raises BadSettings."""
    if path is None:
        return Settings()
    import tomllib  # noqa: PLC0415  # 2.6 MiB that the resident process needs once

    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadSettings(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: this is not TOML: {error}") from error
    try:
        settings = msgspec.convert(document, Settings)
        _check(settings)
    except msgspec.ValidationError as error:
        raise BadSettings(f"{path}: {_named(str(error))}") from error
    return settings


_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<where>.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`")


def _named(error: str) -> str:
    """msgspec's sentence turned round: the key first, then what is wrong with it, then an example."""
    found = _AT.fullmatch(error)
    what, where = (found["what"], found["where"]) if found else (error, "")
    unknown = _UNKNOWN.fullmatch(what)
    section, known = _fields_at(where if unknown else where.rpartition(".")[0])
    if unknown:
        key = ".".join(filter(None, (where, unknown["key"])))
        return f"{key}: there is no such key; {section or 'here'} has {', '.join(known)}"
    key = where.rpartition(".")[2]
    default = known.get(re.sub(r"\[.*", "", key))
    example = "" if default in (None, "", [], {}) else f"; for example: {key} = {msgspec.json.encode(default).decode()}"
    return f"{where or 'the file'}: {what[:1].lower()}{what[1:]}{example}"


def _fields_at(where: str) -> tuple[str, dict[str, Any]]:
    """The section that a path leads to, and its keys with their defaults."""
    type_: Any = Settings
    for name in filter(None, re.sub(r"\[[^]]*\]", "", where).split(".")):
        types = {field.name: field.type for field in msgspec.structs.fields(type_)}
        type_ = types.get(name, type_)
        type_ = next((argument for argument in get_args(type_) if isinstance(argument, type)), type_)
        if not (isinstance(type_, type) and issubclass(type_, Struct)):
            return "", {}
    defaults = {
        field.name: field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        for field in msgspec.structs.fields(type_)
    }
    example = {key: None if value is msgspec.NODEFAULT else value for key, value in defaults.items()}
    return f"[{where}]" if where else "", example


def _check(settings: Settings) -> None:
    """What types cannot say.  Raises msgspec.ValidationError in its own words."""
    for number, name in enumerate(settings.collectors.disabled):
        if name not in COLLECTORS:
            raise _wrong(
                f"{name!r} is no collector; there are {', '.join(COLLECTORS)}", f"collectors.disabled[{number}]"
            )
    _must_differ([portal.name for portal in settings.portal], "portal")
    _must_differ([printer.name for printer in settings.printer], "printer")
    for number, portal in enumerate(settings.portal):
        try:
            parts = urlsplit(portal.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise _wrong(f"{portal.url!r} is no http or https address", f"portal[{number}].url")
    for key in ("directory", "socket"):
        place = getattr(settings.runner, key)
        if place and (not Path(place).is_absolute() or ".." in Path(place).parts):
            raise _wrong(f"{place!r} is no absolute path", f"runner.{key}")


def _must_differ(names: Sequence[str], section: str) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise _wrong(f"{name!r} stands twice", f"{section}[{number}].name")


def _wrong(what: str, where: str) -> msgspec.ValidationError:
    return msgspec.ValidationError(f"{what} - at `$.{where}`")
