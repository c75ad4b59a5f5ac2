"""Fixtures for every area: databases, what Ansible wants executed; and how hypothesis behaves."""

from hypothesis import HealthCheck, settings

from tests.databases import (
    database_url,
    empty_database_url,
    empty_engine,
    engine,
    postgres_server,
    postgres_template,
    sqlite_engine,
    sqlite_template,
)
from tests.recorded import recorded

__all__ = [
    "database_url",
    "empty_database_url",
    "empty_engine",
    "engine",
    "postgres_server",
    "postgres_template",
    "recorded",
    "sqlite_engine",
    "sqlite_template",
]

# Several tests run beside each other on two cores: how long drawing takes says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
