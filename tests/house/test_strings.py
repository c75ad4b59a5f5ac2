"""What may stand nowhere in the project: addresses of package registries, and paths of one machine."""

import re

from tests.house.tree import ROOT, files

# Put together here, so that this file does not hold them itself.
_FORBIDDEN = re.compile(
    "|".join(
        (
            r"pypi\." + "org", r"python" + r"hosted\.org", r"registry\." + "npmjs", r"deb\." + r"debian\.org",
            "(?<![\\w.])/" + "work/", "(?<![\\w.])/" + "root/", r"(?<![\w.])/" + r"home/(?!someone)\w+/",
        )
    )
)  # fmt: skip
_TEXT = (
    ".py", ".md", ".toml", ".txt", ".json", ".yaml", ".yml", ".html", ".js", ".css", ".service", ".conf", ".po", ".pot",
    "",
)  # fmt: skip


def test_no_registry_and_no_path_of_one_machine():
    found = []
    for path in files(*_TEXT):
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path}: {match[0]}" for match in _FORBIDDEN.finditer(text)]

    assert not found
