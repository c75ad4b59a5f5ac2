"""A repository of packages in a directory, as apt reads it with `file:`: two versions of a tiny demo package."""

import hashlib
import subprocess
import textwrap
from pathlib import Path

DEMO = "annexfleet-demo"
VERSIONS = ("1.0", "2.0")
FILE = "/usr/share/annexfleet-demo/version"
"""In each device: the installed version, a line."""


def build(directory: Path) -> None:
    """Build the packages and their index; `directory` must not be there yet."""
    directory.mkdir(mode=0o755)
    entries = []
    for version in VERSIONS:
        control = _control(DEMO, version)
        package = _package(directory, DEMO, version, control)
        content = package.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        entries.append(f"{control}Filename: ./{package.name}\nSize: {len(content)}\nSHA256: {digest}\n")
    (directory / "Packages").write_text("\n".join(entries))


def _control(name: str, version: str) -> str:
    return textwrap.dedent(f"""\
        Package: {name}
        Version: {version}
        Architecture: all
        Maintainer: Nobody <nobody@example.ma>
        Section: misc
        Priority: optional
        Description: something to install in tests
        """)


def _package(directory: Path, name: str, version: str, control: str) -> Path:
    tree = directory / f".{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(control)
    (tree / "DEBIAN" / "conffiles").write_text(f"/etc/{name}.conf\n")
    for path, text in ((FILE, f"{version}\n"), (f"/etc/{name}.conf", f"greeting = hello from {version}\n")):
        (tree / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tree / path.lstrip("/")).write_text(text)
    package = directory / f"{name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, package], check=True, capture_output=True
    )
    return package
