"""The project's own files, as the tests of this room look at them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

_NOT_OURS = {
    ".git", ".venv", "node_modules", "vendor", "build", "dist", "__pycache__", ".mypy_cache", ".ruff_cache",
    ".pytest_cache", ".hypothesis", ".import_linter_cache",
}  # fmt: skip


def files(*suffixes: str) -> Iterator[Path]:
    """Every file of the project with one of these endings, relative to its root; all files if none is given."""
    yield from sorted(_below(ROOT, suffixes))


def _below(directory: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.name in _NOT_OURS or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from _below(path, suffixes)
        elif not suffixes or path.suffix in suffixes:
            yield path.relative_to(ROOT)
