"""Devices, their certificates, and the tokens that let new ones in."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class Device(Base):
    __tablename__ = "device"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    """Short, for the tables with millions of rows."""
    id: Mapped[str] = mapped_column(String(28), unique=True)
    """`d-` and 26 characters of base32: the CN of its certificate and its name in topics."""
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    role: Mapped[str] = mapped_column(String(16))
    """counter, kiosk, tablet or server"""
    hardware_serial: Mapped[str] = mapped_column(String(120), default="")
    model: Mapped[str] = mapped_column(String(200), default="")
    token_id: Mapped[str | None] = mapped_column(ForeignKey("token.id"))
    enrolled_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    exchange_key: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    """X25519, public: what is meant for its runner's eyes alone is sealed to it.  None: it takes no commands."""
    connection: Mapped[str] = mapped_column(String(8), default="mqtt", server_default="mqtt")
    """How Ansible reaches it: mqtt, or ssh."""
    ssh_address: Mapped[str] = mapped_column(String(260), default="", server_default="")
    """host or host:port, where `connection` is ssh"""
    place: Mapped[str] = mapped_column(String(80), default="", server_default="")
    """Room or counter; empty: nobody said."""
    retired_at: Mapped[datetime | None]
    """Taken out of service for good by a person: it may not connect, raises nothing, and keeps its past."""
    replaced_by: Mapped[int | None]
    """The number of the device that took its place, whose page leads to this one's past."""
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    """Rises with each change that a person makes."""


class DeviceTag(Base):
    """A word by which a province's own people gather devices: `ring-0`, `new-kiosks`."""

    __tablename__ = "device_tag"

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    tag: Mapped[str] = mapped_column(String(40), primary_key=True, index=True)


class Certificate(Base):
    __tablename__ = "certificate"

    serial: Mapped[str] = mapped_column(String(40), primary_key=True)
    """Hexadecimal, lower case, no leading zeros."""
    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), index=True)
    public_key_digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the SubjectPublicKeyInfo, hexadecimal: a key is certified once, so a stolen request is no use."""
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Token(Base):
    """Leave to enrol some devices in one annex.

    The secret is a seed; only its Ed25519 public key is kept, so whoever reads this table can check a proof and make
    none.
    """

    __tablename__ = "token"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"), index=True)
    role: Mapped[str] = mapped_column(String(16), default="counter")
    public_key: Mapped[bytes] = mapped_column(LargeBinary(32))
    max_devices: Mapped[int]
    used: Mapped[int] = mapped_column(default=0)
    failed_proofs: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
