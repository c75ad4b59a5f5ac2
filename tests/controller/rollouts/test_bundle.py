"""The library of playbooks: what is known of it, and its digest."""

from pathlib import Path

import pytest

from annexfleet_controller.rollouts import bundle
from annexfleet_controller.rollouts.errors import LibraryWrong, PlaybookUnknown
from annexfleet_controller.settings import Home, Settings

SPEC = """
argument_specs:
  main:
    short_description: Keep packages as wished
    description: [One., Two.]
    options:
      packages_present: {type: list, elements: str, default: []}
      packages_key: {type: str, no_log: true}
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    library = tmp_path / "library"
    (library / "roles" / "packages" / "meta").mkdir(parents=True)
    (library / "packages.yml").write_text("- hosts: all\n  roles: [{role: packages}]\n")
    (library / "roles" / "packages" / "meta" / "argument_specs.yml").write_text(SPEC)
    (library / "fleet.annexfleet.yml").write_text("plugin: annexfleet\n")
    (library / "notes.yml").write_text("- just\n- a list\n")
    return Home(tmp_path, Settings(playbooks_dir=str(library)))


def digest(home: Home, **over: object) -> str:
    asked = {"playbook": "packages", "variables": {"a": 1}, "secret_names": ["b"], "check": False, **over}
    return bundle.digest(bundle.library(home), **asked)  # type: ignore[arg-type]


def test_a_playbook_comes_with_the_variables_of_its_role(home: Home):
    (playbook,) = bundle.playbooks(home)

    assert (playbook.name, playbook.summary, playbook.description) == (
        "packages",
        "Keep packages as wished",
        "One. Two.",
    )
    assert [(v.name, v.type, v.default, v.secret) for v in playbook.variables] == [
        ("packages_present", "list", [], False), ("packages_key", "str", None, True),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["nothing", "../packages", "fleet.annexfleet", "notes", "", "packages\n"])
def test_what_is_no_playbook_is_unknown(home: Home, name: str):
    with pytest.raises(PlaybookUnknown):
        bundle.playbook(home, name)


def test_the_digest_covers_every_file_and_what_was_asked_for(home: Home):
    before = digest(home)
    assert digest(home) == before

    others = [
        digest(home, playbook="x"),
        digest(home, variables={"a": 2}),
        digest(home, secret_names=[]),
        digest(home, check=True),
    ]
    file = bundle.library(home) / "roles" / "packages" / "meta" / "argument_specs.yml"
    file.write_text(SPEC + "\n")
    others.append(digest(home))
    (file.parent / "more.yml").write_text("")
    others.append(digest(home))
    (file.parent / "more.yml").chmod(0o755)
    others.append(digest(home))
    assert len({before, *others}) == 8


def test_a_copy_has_the_same_digest_and_caches_are_left_out(home: Home, tmp_path: Path):
    cache = bundle.library(home) / "plugins" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "x.pyc").write_bytes(b"x")

    (tmp_path / "copy.draft" / "left").mkdir(parents=True)  # of one who was killed in the middle
    bundle.copy(bundle.library(home), tmp_path / "copy")

    assert digest(Home(tmp_path, Settings(playbooks_dir=str(tmp_path / "copy")))) == digest(home)
    assert not (tmp_path / "copy" / "plugins").exists()


def test_a_link_that_may_lead_anywhere_is_refused(home: Home):
    (bundle.library(home) / "roles" / "link").symlink_to("/etc")

    with pytest.raises(LibraryWrong, match="symbolic link"):
        digest(home)


def test_a_library_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(LibraryWrong, match="no playbooks"):
        bundle.library(Home(tmp_path, Settings(playbooks_dir=str(tmp_path / "nothing"))))


def test_the_checkout_has_a_library(tmp_path: Path):
    assert (bundle.library(Home(tmp_path, Settings())) / "plugins").is_dir()
