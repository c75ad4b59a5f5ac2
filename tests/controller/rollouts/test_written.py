"""What is written for Ansible reads back as data, whatever is in it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drawing import examples

from annexfleet_controller.rollouts import approved, written


class _Marked(str):
    __slots__ = ()


class _Loader(yaml.SafeLoader):
    depth = 0


def _unsafe(loader: Any, node: Any) -> Any:
    loader.depth += 1
    found = loader.construct_mapping(node, deep=True)
    loader.depth -= 1
    return found


def _text(loader: Any, node: Any) -> str:
    text = loader.construct_scalar(node)
    return _Marked(text) if loader.depth else str(text)


_Loader.add_constructor("!unsafe", _unsafe)
_Loader.add_constructor("tag:yaml.org,2002:str", _text)

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


@settings(max_examples=examples(200))
@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_variables_read_back_as_they_were_and_every_text_is_marked(value: Any):
    found = read(written.document(value))

    assert found == value
    assert all(isinstance(text, _Marked) for text in texts(found))
    assert written.document(value).isascii()


def test_what_no_file_holds_is_replaced():
    assert read(written.document({"a": ["\ud800", float("nan")]})) == {"a": ["\ufffd", None]}


LOOKS_LIKE_MORE = ("", "007", "yes", "null", "~", "1e3", "2026-11-26", "12:30", "=", "<<", "{{ 7 * 7 }}", "a: b", "\n")
"""Texts that YAML takes for something else where nothing says that they are texts."""


def test_ansible_itself_reads_each_text_as_the_text_it_is(tmp_path: Path):
    variables = {f"v{number}": text for number, text in enumerate(LOOKS_LIKE_MORE)}
    variables |= {"list": list(LOOKS_LIKE_MORE), "map": dict.fromkeys(LOOKS_LIKE_MORE, "")}
    (tmp_path / "hosts.yml").write_text(written.inventory({"d-a": variables}, {}))
    (tmp_path / "variables.yml").write_text(written.document(variables))
    program = Path(sys.executable).with_name("ansible-inventory")

    for arguments in (["--host", "d-a"], ["--host", "d-b", "-i", "d-b,", "-e", f"@{tmp_path / 'variables.yml'}"]):
        done = subprocess.run(
            [program, "-i", tmp_path / "hosts.yml", *arguments],
            capture_output=True, check=True, env={**os.environ, "ANSIBLE_HOME": str(tmp_path)},
        )  # fmt: skip
        assert json.loads(done.stdout) == variables


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
