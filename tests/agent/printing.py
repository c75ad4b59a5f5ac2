"""A place to print for tests: a private print server (cupsd) and printers (ippeveprinter), all real, ended by pid.

ippeveprinter insists on a D-Bus even to publish nothing, so there is a private one; no Avahi need be on it.  Everything
lives in one temporary directory, readable by `lp`, as whom cupsd runs its programs when it was started by root.
"""

import contextlib
import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGES = {
    "cupsd": "cups-daemon",
    "lpadmin": "cups-client",
    "cupsdisable": "cups-client",
    "lp": "cups-client",
    "ippeveprinter": "cups-ipp-utils",
    "dbus-daemon": "dbus-daemon",
}
_PATH = "/usr/sbin:/sbin:" + os.environ.get("PATH", "/usr/bin:/bin")
_STARTS_WITHIN_S = 15.0

_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"  # noqa: E501

_DBUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={place}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
<allow user="*"/></policy></busconfig>
"""
_CUPSD = """LogLevel debug
Listen {place}/cups.sock
Browsing No
WebInterface No
DefaultAuthType None
ErrorPolicy retry-job
JobRetryInterval 1
<Location />
Order allow,deny
Allow all
</Location>
<Policy default>
{limits}
<Limit All>
Order deny,allow
Allow all
</Limit>
</Policy>
"""
_CUPS_FILES = """User {user}
Group {group}
SystemGroup {admins}
ServerRoot {place}/etc
ServerBin /usr/lib/cups
DataDir /usr/share/cups
StateDir {place}/state
CacheDir {place}/cache
RequestRoot {place}/spool
TempDir {place}/spool/tmp
AccessLog {place}/access_log
ErrorLog {place}/error_log
PageLog {place}/page_log
FileDevice Yes
"""
# The printer's print command: it says what `say` holds, and goes on printing while there is a file `busy`.
_PRINT = """#!/bin/sh
cat {home}/say >&2
while [ -e {home}/busy ]; do sleep 0.1; done
cat {home}/say-after >&2
exit 0
"""


def eventually(question: Callable[[], object], within_s: float = _STARTS_WITHIN_S) -> object:
    """The first true answer; an AssertionError with the last one if none comes in time."""
    deadline = time.monotonic() + within_s
    while not (answer := question()):
        assert time.monotonic() < deadline, f"never true within {within_s:g} s; at last: {answer!r}"
        time.sleep(0.05)
    return answer


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Printer:
    """One ippeveprinter: what it says and does is set by files beside it."""

    def __init__(self, name: str, home: Path, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
        self.name = name
        self.home = home
        self.port = free_port()
        self._start = start
        home.mkdir()
        for empty in ("say", "say-after"):
            (home / empty).touch()
        (home / "spool").mkdir()
        command = home / "print.sh"
        command.write_text(_PRINT.format(home=home))
        command.chmod(0o755)
        self.process = self.switch_on()

    @property
    def uri(self) -> str:
        return f"ipp://localhost:{self.port}/ipp/print"

    def switch_on(self) -> "subprocess.Popen[bytes]":
        self.process = self._start(
            "ippeveprinter", "-p", str(self.port), "-d", str(self.home / "spool"), "-c", str(self.home / "print.sh"),
            "-n", "localhost", "-r", "off", "-f", "application/pdf,application/octet-stream", self.name,
            log=self.home / "log",
        )  # fmt: skip
        eventually(lambda: _listens(self.port))
        return self.process

    def switch_off(self) -> None:
        self.process.kill()
        self.process.wait()

    def while_printing(self, *lines: str) -> None:
        """From the next document on, say these lines and stay busy until `finish`."""
        (self.home / "busy").touch()
        (self.home / "say").write_text("".join(f"{line}\n" for line in lines))

    def after_printing(self, *lines: str) -> None:
        (self.home / "say-after").write_text("".join(f"{line}\n" for line in lines))

    def finish(self) -> None:
        (self.home / "busy").unlink(missing_ok=True)
        (self.home / "say").write_text("")

    def load_paper(self, sheets: int) -> None:
        """Fill or empty the main tray; the by-pass tray is full."""
        trays = ((1, sheets), (3, 25))
        fields = [f"size{n}=na_letter_8.5x11in&type{n}=stationery&level{n}={level}" for n, level in trays]
        self.browse(f"/media?{'&'.join(fields)}")

    def browse(self, path: str) -> None:
        """Use the printer's own web page, as ippeveprinter lets one set trays and supplies."""
        with urllib.request.urlopen(f"http://localhost:{self.port}{path}", timeout=10) as answer:
            answer.read()


class Place:
    """A print server and the printers around it."""

    def __init__(
        self, home: Path, start: Callable[..., "subprocess.Popen[bytes]"], server: "subprocess.Popen[bytes]"
    ) -> None:
        self.home = home
        self.server = server
        self.socket = str(home / "cups.sock")
        self._start = start
        self.printers: list[Printer] = []
        self.document = home / "document.pdf"
        self.document.write_bytes(_PDF)

    def printer(self, name: str) -> Printer:
        """A new printer, without a queue."""
        made = Printer(name, self.home / f"printer-{name}", self._start)
        self.printers.append(made)
        return made

    def queue(self, name: str, uri: str, *options: str) -> None:
        """A new raw queue that leads to this device."""
        self.run("lpadmin", "-p", name, "-E", "-v", uri, *[word for option in options for word in ("-o", option)])

    def print(self, queue: str, *, title: str = "document") -> None:
        self.run("lp", "-d", queue, "-t", title, "-o", "raw", str(self.document))

    def restart_server(self) -> None:
        """As after a power cut, but for what it writes when it is asked to end."""
        self.server.terminate()
        self.server.wait(timeout=_STARTS_WITHIN_S)
        Path(self.socket).unlink(missing_ok=True)
        self.server = _start_server(self.home, self._start)

    def withdraw_oldest(self, queue: str) -> None:
        """Cancel the document that came first."""
        first = self.run("lpstat", "-o", queue).split()[0]
        self.run("cancel", first)

    def run(self, *argv: str) -> str:
        """What the program wrote."""
        done = subprocess.run(
            argv,
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
            env={"PATH": _PATH, "CUPS_SERVER": self.socket, "HOME": "/"},
        )
        return done.stdout


@contextlib.contextmanager
def place(*, limits: str = "") -> Iterator[Place]:
    """A running place to print; skips the test where the programs for it are not installed.

    `limits`: sections of cupsd.conf's policy; what they do not name everybody may do.
    """
    missing = sorted({package for program, package in PACKAGES.items() if shutil.which(program, path=_PATH) is None})
    if missing:
        pytest.skip(f"no print server to test with; apt-get install {' '.join(missing)}")
    # Not pytest's tmp_path: that is closed to `lp`, and its name too long for a Unix socket.
    home = Path(tempfile.mkdtemp(prefix="printing-"))
    home.chmod(0o755)
    running: list[subprocess.Popen[bytes]] = []

    def start(program: str, *arguments: str, log: Path) -> "subprocess.Popen[bytes]":
        with log.open("ab") as out:
            process = subprocess.Popen(
                [shutil.which(program, path=_PATH) or program, *arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={"PATH": _PATH, "HOME": str(home), "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={home}/bus"},
            )  # fmt: skip
        running.append(process)
        return process

    try:
        _start_bus(home, start)
        _configure_cups(home, limits)
        yield Place(home, start, _start_server(home, start))
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _start_bus(home: Path, start: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    (home / "bus.conf").write_text(_DBUS.format(place=home))
    start("dbus-daemon", f"--config-file={home}/bus.conf", "--nofork", "--nopidfile", log=home / "bus.log")
    eventually((home / "bus").is_socket)


def _configure_cups(home: Path, limits: str) -> None:
    for folder in ("etc", "state", "cache", "spool", "spool/tmp"):
        (home / folder).mkdir()
    root = os.geteuid() == 0
    user = "lp" if root else pwd.getpwuid(os.geteuid()).pw_name
    group = "lp" if root else grp.getgrgid(os.getegid()).gr_name
    admins = "root" if root else group
    (home / "etc/cupsd.conf").write_text(_CUPSD.format(place=home, limits=limits))
    (home / "etc/cups-files.conf").write_text(
        _CUPS_FILES.format(place=home, user=user, group="lp" if root else group, admins=admins)
    )


def _start_server(home: Path, start: Callable[..., "subprocess.Popen[bytes]"]) -> "subprocess.Popen[bytes]":
    server = start(
        "cupsd", "-f", "-c", f"{home}/etc/cupsd.conf", "-s", f"{home}/etc/cups-files.conf", log=home / "cupsd.log"
    )
    eventually((home / "cups.sock").is_socket)
    return server


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True
