import pytest

from annexfleet_agent import settings as settings_
from annexfleet_agent.settings import BadSettings, Settings, load, path_from


@pytest.fixture
def file(tmp_path):
    return tmp_path / "agent.toml"


def test_without_a_file_everything_has_its_default():
    assert load(None) == Settings()


def test_what_the_file_says_is_taken_and_the_rest_has_its_default(file):
    file.write_text("""
        [agent]
        sample_period_s = 10
        state_dir = "/srv/agent"

        [[portal]]
        name = "watiqa"
        url = "https://user:secret@portal.example/"

        [[queue]]
        source = "file"
        path = "/run/queue.json"
        fields = { waiting = "counts.now" }
    """)

    settings = load(file)

    assert settings.agent.sample_period_s == 10
    assert settings.agent.beat_period_s == 300
    assert str(settings.identity_dir) == "/srv/agent/identity"
    assert settings.portal[0].url.startswith("https://user:secret@")
    assert settings.queue[0].fields == {"waiting": "counts.now"}


@pytest.mark.parametrize(
    ("text", "names", "says"),
    [
        ('[agent]\nsample_period_s = "fast"', "agent.sample_period_s", "for example: sample_period_s = 30.0"),
        ("[agent]\nsample_periods = 3", "agent.sample_periods", "there is no such key; [agent] has state_dir"),
        ("colour = 1", "colour", "there is no such key"),
        ("[agent]\nbeat_period_s = 1", "agent.beat_period_s", ">= 5"),
        ('[agent]\nlog_level = "loud"', "agent.log_level", 'for example: log_level = "info"'),
        ('[[portal]]\nname = "A b"\nurl = "http://x"', "portal[0].name", "regex"),
        ('[[portal]]\nname = "a"\nurl = "ftp://x"', "portal[0].url", "no http or https address"),
        ('[[portal]]\nname = "a"\nurl = "http://[x"', "portal[0].url", "no http or https address"),
        ('[[portal]]\nname = "a"\nurl = "http://x"\n' * 2, "portal[1].name", "stands twice"),
        ('[[queue]]\nservice = "a"', "queue[0]", "missing required field `source`"),
        ('[[queue]]\nsource = "http"\nurll = ""', "queue[0].urll", "[queue[0]] has service, source, url"),
        ('[collectors]\ndisabled = ["gpu"]', "collectors.disabled[0]", "'gpu' is no collector; there are cpu, load"),
        ('[runner]\ndirectory = "runner"', "runner.directory", "no absolute path"),
        ('[runner]\nsocket = "/run/../x"', "runner.socket", "no absolute path"),
        ('[runner]\nallow = ["shell"]', "runner.allow[0]", "shell"),
        ('[runner]\nservices = ["cups.service", "-H x"]', "runner.services[1]", "regex"),
        ("[runner]\ncpu_max_ratio = 0", "runner.cpu_max_ratio", "for example: cpu_max_ratio = 0.8"),
        ("[runner]\nservice = []", "runner.service", "[runner] has enabled, directory"),
        ("[agent\n", "this is not TOML", "line 1"),
        ('agent = "x"', "agent", "expected `object`"),
    ],
)
def test_an_error_names_the_file_the_key_and_what_is_wrong(file, text, names, says):
    file.write_text(text)

    with pytest.raises(BadSettings) as bad:
        load(file)

    assert str(bad.value).startswith(f"{file}: {names}")
    assert says in str(bad.value)


def test_a_file_that_cannot_be_read_is_named(file):
    with pytest.raises(BadSettings, match=r"agent\.toml: No such file"):
        load(file)

    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadSettings, match="not TOML"):
        load(file)


def test_which_file_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(settings_, "DEFAULT_PATH", tmp_path / "default.toml")
    monkeypatch.delenv(settings_.PATH_VARIABLE, raising=False)
    assert path_from(None) is None

    (tmp_path / "default.toml").touch()
    assert path_from(None) == tmp_path / "default.toml"

    monkeypatch.setenv(settings_.PATH_VARIABLE, "/elsewhere.toml")
    assert str(path_from(None)) == "/elsewhere.toml"
    assert str(path_from("/said.toml")) == "/said.toml"


def test_every_default_passes_the_checks_that_a_file_has_to_pass(file):
    file.write_text("")

    assert load(file) == Settings()


@pytest.mark.parametrize(
    ("directory", "place", "is_own"),
    [("", "/srv/agent/runner", True), ("/srv/agent/r", "/srv/agent/r", True), ("/srv/agent-r", "/srv/agent-r", False)],
)
def test_where_the_runner_lies_says_as_whom_it_acts(file, directory, place, is_own):
    file.write_text(f'[agent]\nstate_dir = "/srv/agent"\n[runner]\ndirectory = "{directory}"\n')

    settings = load(file)

    assert (str(settings.runner_dir), settings.runner_is_own) == (place, is_own)
    assert str(settings.runner_socket) == f"{place}/runner.sock"
