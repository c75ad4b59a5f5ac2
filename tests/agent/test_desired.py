import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent import desired
from annexfleet_agent.protocol.messages import Config, DesiredSettings, Portal


def portals(*urls):
    return DesiredSettings(portals=[Portal(name=f"p{number}", url=url) for number, url in enumerate(urls)])


@pytest.mark.parametrize(
    "settings",
    [
        DesiredSettings(),
        portals("https://portal.example/path?query=1#x", "http://192.168.1.5:8080", "http://[::1]:80/"),
        DesiredSettings(printers_probed_elsewhere=["192.168.1.40:631", "[fe80::1]:631", "printer-1.local:9100"]),
    ],
)
def test_ordinary_wishes_are_granted(settings):
    desired.check(settings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (portals("https://user:secret@portal.example/"), "credentials portals p0"),
        (portals("https://user@portal.example/"), "credentials portals p0"),
        (portals("https://@portal.example/"), "credentials portals p0"),
        (portals("http://ok.example", "file:///etc/passwd"), "not_http portals p1"),
        (portals("ftp://portal.example/"), "not_http portals p0"),
        (portals("HTTPX://portal.example/"), "not_http portals p0"),
        (portals("/etc/passwd"), "not_http portals p0"),
        (portals("http://"), "not_http portals p0"),
        (portals("http://x:0/"), "not_http portals p0"),
        (portals("http://x:99999/"), "not_a_url portals p0"),
        (portals("http://[x/"), "not_a_url portals p0"),
        (portals("http://a b/"), "not_a_url portals p0"),
        (portals("http://x/\r\nHost: y"), "not_a_url portals p0"),
        (portals(""), "not_http portals p0"),
        (
            DesiredSettings(portals=[Portal(name="a", url="http://x"), Portal(name="a", url="http://y")]),
            "name_twice portals",
        ),
        (DesiredSettings(printers_probed_elsewhere=["192.168.1.40"]), "not_an_address printers_probed_elsewhere"),
        (DesiredSettings(printers_probed_elsewhere=["http://x:631"]), "not_an_address printers_probed_elsewhere"),
        (DesiredSettings(printers_probed_elsewhere=["x:631\n"]), "not_an_address printers_probed_elsewhere"),
    ],
)
def test_wishes_that_could_open_a_file_or_bear_a_secret_are_refused(settings, reason):
    with pytest.raises(desired.Refused) as refused:
        desired.check(settings)

    assert str(refused.value) == reason


@given(st.text(max_size=60))
def test_whatever_is_wished_is_granted_or_refused(url):
    try:
        desired.check(portals(url))
    except desired.Refused as refused:
        assert url not in str(refused) or len(url) < 4  # noqa: PT017  # what a stranger wrote is not repeated in logs


def test_wishes_outlive_a_restart(tmp_path):
    config = Config(version=4, settings=portals("https://portal.example/"))

    assert desired.load(tmp_path) is None
    desired.save(tmp_path, config)

    assert desired.load(tmp_path) == config


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"version":0,"settings":{}}', b'{"version":1,"settings":{"portals":[{"name":"a","url":"file:///x"}]}}']
)  # fmt: skip
def test_remembered_wishes_that_make_no_sense_are_forgotten(tmp_path, content, caplog):
    (tmp_path / "desired.json").write_bytes(content)

    assert desired.load(tmp_path) is None
    assert "cannot be used" in caplog.text


def test_a_disk_that_cannot_be_written_costs_only_the_remembering(tmp_path, caplog):
    desired.save(tmp_path / "missing", Config(version=1, settings=DesiredSettings()))

    assert "could not be remembered" in caplog.text


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    file = tmp_path / "file"
    desired.replace_file(file, b"one")
    desired.replace_file(file, b"two")

    assert file.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [file]
