"""What is written for Ansible reads back as data, whatever is in it."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from annexfleet_controller.rollouts import approved, written


class _Marked(str):
    __slots__ = ()


class _Loader(yaml.SafeLoader):
    pass


_Loader.add_constructor("!unsafe", lambda loader, node: _Marked(loader.construct_scalar(node)))

TEXTS = st.text(max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def read(text: str) -> Any:
    return yaml.load(text, _Loader)


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (*texts(key), *texts(item))]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


@settings(max_examples=200)
@given(VALUES)
def test_a_value_reads_back_as_it_was_and_every_text_is_marked(value: Any):
    found = read(written.document(value))

    assert found == value
    assert all(isinstance(text, _Marked) or text.isidentifier() for text in texts(found))
    assert written.document(value).isascii()


def test_what_no_file_holds_is_replaced():
    assert read(written.document(["\ud800", float("nan")])) == ["\ufffd", None]


def test_an_inventory_holds_its_hosts_and_no_others(tmp_path):
    hosts = {"d-a": {"annexfleet_name": "{{ 1 + 1 }}"}, "d-b": {}}
    text = written.inventory(hosts, {"role_kiosk": ["d-b", "d-z"], "empty": ["d-z"]})
    (tmp_path / "hosts.yml").write_text(text)

    document = read(text)["all"]
    assert document["hosts"] == hosts
    assert isinstance(document["hosts"]["d-a"]["annexfleet_name"], _Marked)
    assert document["children"] == {"role_kiosk": {"hosts": {"d-b": {}}}, "empty": {"hosts": {}}}
    approved.prove(tmp_path / "hosts.yml", ["d-a", "d-b"])
    for wrong in (["d-a"], ["d-a", "d-b", "d-c"]):
        with pytest.raises(approved.NotAsApproved, match="targets_changed"):
            approved.prove(tmp_path / "hosts.yml", wrong)
