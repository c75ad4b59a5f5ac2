"""`annexfleet desired` against a home: documents from files, the difference and the question before anything counts."""

import io
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.comparing import compare
from tests.controller.fleet import add_annex, add_devices, device_id
from tests.controller.site import Site

from annexfleet_controller.__main__ import main
from annexfleet_controller.cli import desired_text
from annexfleet_controller.desired.document import parse, written
from annexfleet_controller.desired.resolve import PROVINCE, Layer
from annexfleet_controller.errors import Invalid
from annexfleet_controller.store import audit, configs, desired, rollouts
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.scope import WHOLE

ROOT = Path(__file__).parents[3]
TOML = """
taken_away = ["packages.nano"]
[agent]
sample_period_s = 30
[packages]
htop = "present"
[print_queues.guichet-1]
uri = "ipp://10.20.1.31/ipp/print"
"""
SAID = {
    "agent": {"sample_period_s": 30.0},
    "packages": {"htop": "present", "nano": None},
    "print_queues": {"guichet-1": {"uri": "ipp://10.20.1.31/ipp/print"}},
}


class Console:
    """Commands of Amina at the console; devices 1 and 2 in berkane-1, 3 in berkane-2."""

    def __init__(self, site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.site, self._capsys, self._monkeypatch = site, capsys, monkeypatch
        monkeypatch.setenv("SUDO_USER", "amina")

    def __call__(self, *argv: str, answer: str = "") -> tuple[int, str, str]:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        code = main(["--home", str(self.site.home.path), "desired", *argv])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def file(self, text: str, name: str = "layer.json") -> str:
        path = self.site.home.path / name
        path.write_text(text)
        return str(path)

    def version(self, layer: Layer = PROVINCE) -> desired.Version:
        with reading(self.site.engine) as db:
            return desired.get(db, layer)


@pytest.fixture
def console(
    sqlite_engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Console:
    site = Site(sqlite_engine, tmp_path, playbooks_dir=str(ROOT / "playbooks"))
    add_annex(sqlite_engine, "berkane-1")
    add_annex(sqlite_engine, "berkane-2")
    add_devices(sqlite_engine, 2)
    add_devices(sqlite_engine, 1, annex_id="berkane-2", first=3)
    (site.home.path / "controller.toml").write_text(
        f'playbooks_dir = "{ROOT / "playbooks"}"\n'
        f'database_url = "{sqlite_engine.url.render_as_string(hide_password=False)}"\n'
    )
    return Console(site, capsys, monkeypatch)


def test_a_document_is_shown_as_a_difference_asked_for_and_counts(console: Console):
    code, out, _ = console("set", "province", console.file(TOML, "layer.toml"), "--reason", "Slow", answer="y\n")

    assert code == 0
    assert "+ packages.htop: present" in out
    assert "+ packages.nano: null" in out
    assert "Of 3 devices something else would be wanted. Decide so? [y/N]" in out
    kept = console.version()
    assert (written(kept.document), kept.by, kept.reason) == (SAID, "amina", "Slow")
    with reading(console.site.engine) as db:
        assert configs.of_all(db) == {}, "a decision must send nothing"
        (entry,) = audit.entries(db, WHOLE, act="desired.change")
        assert entry.via == "console"


@pytest.mark.parametrize("answer", ["", "n\n", "\n", "maybe\n"])
def test_who_does_not_say_yes_decides_nothing(console: Console, answer: str):
    code, out, _ = console("set", "province", console.file('{"packages": {"htop": "present"}}'), answer=answer)

    assert (code, out.endswith("nothing was decided\n")) == (1, True)
    assert console.version().version == 0


def test_what_is_shown_can_be_given_back(console: Console):
    console("set", "annex:berkane-1", console.file(TOML, "layer.toml"), "--yes")

    code, out, err = console("show", "annex:berkane-1")
    again = console("set", "annex:berkane-1", "-", "--yes", answer=out)
    unasked = console("set", "annex:berkane-1", "-", answer=out)

    assert (code, json.loads(out), err) == (0, SAID, "version 1\n")
    assert again[:2] == (0, "it is decided already\n")
    assert (unasked[0], "add --yes" in unasked[2]) == (1, True)
    assert console("show")[1].split() == ["annex:berkane-1", "version", "1,", "4", "entries"]


def test_somebody_else_was_first(console: Console):
    file = console.file('{"packages": {"htop": "present"}}')
    assert console("set", "role:counter", file, "--yes", "--version", "0")[0] == 0
    file = console.file('{"packages": {"htop": "absent"}}')

    code, _, err = console("set", "role:counter", file, "--yes", "--version", "0")

    assert (code, "meanwhile" in err) == (1, True)


@pytest.mark.parametrize(
    ("layer", "text", "words"),
    [
        ("town:x", "{}", "no layer 'town:x'"),
        ("province:x", "{}", "no layer"),
        ("annex", "{}", "no layer"),
        ("annex:berkane-9", '{"packages": {"htop": "present"}}', "no annex"),
        ("province", "{", "cannot be read"),
        ("province", "[]", "document"),
        ("province", "packages = 3", "packages"),
        ("province", 'taken_away = ["nano"]', "taken_away"),
        ("province", '{"portals": {"cnie": {"url": "ftp://x/"}}}', "portals.cnie.url"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(console: Console, layer: str, text: str, words: str):
    code, _, err = console("set", layer, console.file(text, "layer"), "--yes")

    assert code == 1
    assert words in err
    assert console("set", "province", "/nowhere.json", "--yes")[0] == 1


def test_history_differences_and_the_way_back(console: Console):
    first = '{"packages": {"htop": "present"}, "print_queues": {"q": {"uri": "ipp://10.0.0.1/"}}}'
    second = '{"packages": {"htop": "absent"}, "print_queues": {"q": {"uri": "ipp://10.0.0.2/"}}}'
    console("set", "province", console.file(first), "--yes")
    console("set", "province", console.file(second), "--yes", "--reason", "Enough")

    lines = console("history", "province")[1].splitlines()
    items = json.loads(console("history", "province", "--json")[1])["items"]
    newest = console("diff", "province")[1]
    whole = console("diff", "province", "0", "1")[1]
    code, out, _ = console("take-back", "province", "1", "--yes", "--reason", "It broke")

    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert lines[0].endswith("amina  Enough")
    assert [item["document"]["packages"] for item in items] == [{"htop": "absent"}, {"htop": "present"}]
    assert "~ packages.htop: present -> absent" in newest
    assert "    uri: ipp://10.0.0.1/ -> ipp://10.0.0.2/" in newest
    assert whole.startswith("+ packages.htop: present")
    assert (code, "province has version 3" in out) == (0, True)
    assert console.version().takes_back_to == 1
    assert console("take-back", "province", "1", "--yes")[1] == "it says the same already\n"
    assert console("take-back", "province", "0", answer="no\n")[0] == 1
    assert console("diff", "province", "8", "9")[0] == 1


def test_who_differs_and_the_draft_that_repairs_it(console: Console):
    console("set", "annex:berkane-1", console.file('{"agent": {"sample_period_s": 30}}'), "--yes")
    before = console("drift")[1]
    compare(console.site)

    out = console("drift", "--annex", "berkane-1")[1]
    told = json.loads(console("drift", "--json")[1])
    one = console("drift", "--device", device_id(1))[1]
    code, made, _ = console("repair", "--annex", "berkane-1")

    assert before == "0 same, 0 differs, 3 unknown; not compared yet\n"
    assert f"differs  {device_id(1)}" in out
    assert "differs  agent.sample_period_s wanted 30: not sent" in out
    assert told["tally"] == {"same": 1, "differs": 2, "unknown": 0}
    assert [item["id"] for item in told["items"]] == [device_id(1), device_id(2)]
    assert one.splitlines() == ["differs  agent.sample_period_s wanted 30: not sent  (annex:berkane-1)", "differs"]
    assert (code, made.startswith("draft 1, version 1, 2 devices;")) == (0, True)
    with reading(console.site.engine) as db:
        assert rollouts.find(db, WHOLE, 1).selector.devices == (device_id(1), device_id(2))
    assert console("repair", "--annex", "berkane-2")[0] == 1
    assert console("drift", "--annex", "berkane-9")[0] == 1
    assert console("drift", "--device", "d-nothing")[0] == 1


def test_json_and_toml_say_the_same():
    assert written(parse(desired_text.read(TOML, is_toml=True))) == SAID
    assert written(parse(desired_text.read(json.dumps(SAID), is_toml=False))) == SAID
    assert desired_text.read(TOML, is_toml=False) == desired_text.read(TOML, is_toml=True)
    with pytest.raises(Invalid, match="line 2"):
        desired_text.read('{"packages":\n', is_toml=False)
