"""Fixtures for every area: databases."""

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

__all__ = [
    "database_url",
    "empty_database_url",
    "empty_engine",
    "engine",
    "postgres_server",
    "postgres_template",
    "sqlite_engine",
    "sqlite_template",
]
