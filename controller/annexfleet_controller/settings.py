"""controller.toml and its place: the home directory, `ANNEXFLEET_HOME`, by default ~/.local/share/annexfleet.

Each setting can be overridden by an environment variable (`ANNEXFLEET_` and the key in capitals).  An error
names the key.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from annexfleet_controller.errors import SettingsWrong

Port = Annotated[int, Meta(ge=1, le=65535)]
SecondFactor = Literal["optional", "operators", "everybody"]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person may set."""

    database_url: str = ""
    """Empty: SQLite in the home, `controller.db`."""
    web_host: str = "127.0.0.1"
    web_port: Port = 8080
    """Plain HTTP for a browser on this machine, or for the TLS proxy in front."""
    public_url: str = ""
    """The address that people type, where a proxy stands in front; https:// makes cookies Secure."""
    trusted_proxies: str = "127.0.0.1,::1"
    """Addresses or networks of proxies in front, with commas: their word (X-Forwarded-For) on who asks is believed.
    If it is not set, all who come through a proxy elsewhere count as one where guessing is slowed down."""
    enrol_host: str = "0.0.0.0"  # noqa: S104  # devices come from outside; the listener answers enrolment only
    enrol_port: Port = 8443
    broker_host: str = "127.0.0.1"
    """The name by which devices reach the broker; it stands in the broker's certificate."""
    broker_port: Port = 8883
    """mutual TLS, for devices"""
    broker_socket: str = ""
    """The broker's local listener for the controller; empty: `mosquitto/controller.sock` in the home."""
    ingest_shared: bool = False
    """True where several ingest processes share the work: they then hear each message once among them."""
    mail_url: str = ""
    """How notices leave as mail, as Apprise writes it: `mailtos://user:password@mail.example.ma?from=fleet@example.ma`."""
    sms_url: str = ""
    """The SMS gateway as Apprise writes it, with `{number}` where the telephone number goes."""
    notices_to_link_local: bool = False
    """Whether a contact's address may be link-local, where clouds also answer questions about themselves."""
    keep_beats_days: Annotated[int, Meta(ge=1)] = 7
    keep_hours_days: Annotated[int, Meta(ge=1)] = 90
    keep_days_days: Annotated[int, Meta(ge=1)] = 1095
    keep_changes_days: Annotated[int, Meta(ge=1)] = 90
    keep_set_aside_days: Annotated[int, Meta(ge=1)] = 30
    keep_alerts_days: Annotated[int, Meta(ge=1)] = 400
    """Alerts that cleared, incidents that were resolved, notices that were sent: so that years can be compared."""
    keep_runs_days: Annotated[int, Meta(ge=1)] = 400
    """Ansible runs that have ended, with what became of each device."""
    playbooks_dir: str = ""
    """The library of playbooks; empty: the one that came with this version."""
    deadman_url: str = ""
    """An address outside that is asked every minute, so that somebody else notices when this controller is gone."""
    keep_supply_days: Annotated[int, Meta(ge=90)] = 400
    """Levels of supplies, a row a day; forecasts look back 90 days."""
    supply_lead_opening_days: Annotated[int, Meta(ge=1, le=250)] = 15
    """How long an ordered cartridge takes to be there, with some slack."""
    supply_horizon_opening_days: Annotated[int, Meta(ge=1, le=250)] = 30
    """What is ordered and carried along is what is needed within so many."""
    ssh_source_address: str = ""
    """Addresses or networks, with commas, from which alone a run's SSH certificates let in; empty: from anywhere."""
    second_factor: SecondFactor = "optional"
    """Who must have a second factor: nobody, operators and administrators, or everybody.  Keys have none."""
    session_idle_minutes: Annotated[int, Meta(ge=1)] = 30
    session_hours: Annotated[int, Meta(ge=1)] = 10


class Home(Struct, frozen=True):
    """The directory that holds everything this controller owns, with its settings."""

    path: Path
    settings: Settings

    @property
    def database_url(self) -> str:
        return self.settings.database_url or f"sqlite:///{self.path / 'controller.db'}"

    @property
    def broker_socket(self) -> Path:
        return Path(self.settings.broker_socket or self.path / "mosquitto" / "controller.sock")

    @property
    def enrol_url(self) -> str:
        """Where new devices knock: under the broker's name, for the enrolment listener stands beside the broker."""
        return f"https://{self.settings.broker_host}:{self.settings.enrol_port}"

    @property
    def authority_dir(self) -> Path:
        """Keys and certificates of the local authority (identity/)."""
        return self.path / "authority"

    @property
    def accounts_key(self) -> Path:
        """The key under which the secrets of second factors are sealed (access/sealing.py)."""
        return self.path / "accounts.key"

    @property
    def signer_dir(self) -> Path:
        """The keys that sign commands, and the signer's socket (identity/)."""
        return self.path / "signer"


def default_home() -> Path:
    return Path(os.environ.get("ANNEXFLEET_HOME") or Path.home() / ".local/share/annexfleet")


def load(home: Path) -> Home:
    """The settings of a home; all defaults if it has no controller.toml.  Raises SettingsWrong, naming the key."""
    file = home / "controller.toml"
    values: dict[str, Any] = {}
    if file.exists():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsWrong(f"{file}: {error}") from error
    for name in Settings.__struct_fields__:
        if (text := os.environ.get(f"ANNEXFLEET_{name.upper()}")) is not None:
            values[name] = text
    try:
        return Home(home, msgspec.convert(values, Settings, strict=False))
    except msgspec.ValidationError as error:
        raise SettingsWrong(f"{file}: {error}") from error
