"""agent.toml as frozen structs; an error names the key.

What opens a file, runs a program or bears credentials stands here and nowhere else: the controller's desired settings
(`protocol.messages.DesiredSettings`) cannot say it.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Connection(_Section, frozen=True, kw_only=True):
    """[connection]: where the controller is and who this device is; written by `annexfleet-agent enrol`."""

    broker_host: str = ""
    broker_port: Annotated[int, Meta(ge=1, le=65535)] = 8883
    enrol_url: str = ""
    """https://host:port of the controller's enrolment listener, for renewals."""
    identity_dir: str = ""
    """Holds device.key, device.pem and authority.pem; empty: `identity` in the state directory."""
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


class Settings(_Section, frozen=True, kw_only=True):
    """The whole of agent.toml."""

    connection: Connection = Connection()
    agent: Agent = Agent()
    collectors: Collecting = Collecting()
    printing: Printing = Printing()
    push: Push = Push()
    portal: list[PortalCheck] = []
    printer: list[Printer] = []
    queue: list[QueueSource] = []
