"""The controller's wheel brings everything that its pages load."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import annexfleet_controller
from annexfleet_controller.web.render import STATIC, TEMPLATES

CONTROLLER = Path(annexfleet_controller.__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel built from this tree, with the tools that are installed here."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(CONTROLLER)]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = directory.glob("*.whl")
    with zipfile.ZipFile(file) as opened:
        return opened.namelist()


def test_the_wheel_holds_what_the_pages_load(wheel: list[str]):
    addresses = set()
    for template in TEMPLATES.glob("*.html"):
        addresses |= set(re.findall(r'(?:src|href)="/static/([^"{]+)"', template.read_text(encoding="utf-8")))
    sheet = (STATIC / "annexfleet.css").read_text(encoding="utf-8")
    addresses |= set(re.findall(r'url\("([^"]+)"\)', sheet))

    assert len(addresses) > 8
    assert {f"annexfleet_controller/web/static/{address}" for address in addresses} <= set(wheel)


def test_the_wheel_holds_templates_and_catalogues_and_no_packages_of_node(wheel: list[str]):
    assert "annexfleet_controller/web/templates/province.html" in wheel
    for code in ("ar", "en", "fr"):
        assert f"annexfleet_controller/i18n/locales/{code}/messages.po" in wheel
    assert not [name for name in wheel if "node_modules" in name or name.endswith(".mo")]


def test_what_is_taken_from_others_comes_with_its_licence(wheel: list[str]):
    for package in ("htmx.org", "uplot", "ibm-plex-sans", "lucide-static"):
        assert f"annexfleet_controller/web/static/vendor/{package}.LICENSE" in wheel


def test_the_lock_pins_by_hash_and_names_no_registry():
    lock = json.loads((CONTROLLER / "package-lock.json").read_text())
    packages = {name: of for name, of in lock["packages"].items() if name}

    assert all(of["integrity"].startswith("sha512-") for of in packages.values())
    assert not any("resolved" in of for of in packages.values())
