"""No word of any language stands where no catalogue can reach it: templates, pages, scripts."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.jslexer import tokenize
from tests.controller.i18n.words import ROOM

TEMPLATES = sorted((ROOM / "web/templates").glob("*.html"))


class _VisibleText(HTMLParser):
    """Text and spoken attributes that stand in a template as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._quiet = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._quiet += tag in {"script", "style", "code"}
        self.found += [v for k, v in attrs if k in {"title", "alt", "aria-label", "placeholder", "label"} and v]

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in {"script", "style", "code"}

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.found.append(data)


PROPER_NAMES = {"annexfleet", "berkane-1"}
"""The product's name and an example of an id are the same in every language."""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_holds_words_of_one_language(template: Path):
    text = template.read_text(encoding="utf-8")
    text = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    text = re.sub(r"\{%-?\s*trans\b.*?%\}.*?\{%-?\s*endtrans\s*-?%\}", "", text, flags=re.DOTALL)
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.DOTALL)
    parser = _VisibleText()
    parser.feed(text)

    words = {word for piece in parser.found for word in re.findall(r"[^\W\d_][\w-]*", piece)} - PROPER_NAMES
    assert words == set()


@pytest.mark.parametrize("file", sorted((ROOM / "web").rglob("*.py")), ids=lambda path: path.name)
def test_no_page_holds_words_of_one_language(file: Path):
    """A sentence in a page's code is a text with a space between letters that is no docstring, log or exception."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    allowed = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and "log" in ast.unparse(node.func)):
            allowed |= {id(inner) for inner in ast.walk(node)}

    sentences = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in allowed
        if re.search(r"[a-z]{3,} [a-z]{2,}", node.value) and not node.value.startswith(("<time", "<svg", "sudo "))
    ]
    assert sentences == []


@pytest.mark.parametrize("script", ["live.js", "charts.js", "board.js"])
def test_no_script_holds_words_of_one_language(script: str):
    """What a script shows comes from the page's data attributes."""
    source = (ROOM / "web/static" / script).read_text(encoding="utf-8")
    strings = [token.value for token in tokenize(source) if token.type in {"string", "template_string"}]

    assert [text for text in strings if re.search(r"[A-Za-z]{3,} [A-Za-z]{2,}", text) and text != '"use strict"'] == []
