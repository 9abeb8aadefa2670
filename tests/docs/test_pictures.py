"""Pictures are what the script makes of the real output beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.docs.pages import DOCS

PICTURES = sorted((DOCS / "images").glob("*.txt"))


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_picture_shows_the_output_beside_it(path: Path) -> None:
    made = subprocess.run(
        [sys.executable, DOCS / "render_terminal.py", "--title", "limosa demo", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert path.with_suffix(".svg").read_text(encoding="utf-8") == made
    shown = [element.text for element in ElementTree.fromstring(made).iter() if element.tag.endswith("text")]
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if line] == shown[1:]


def test_nothing_in_a_line_becomes_markup() -> None:
    made = subprocess.run(
        [sys.executable, DOCS / "render_terminal.py", "--title", 'a "b" <c>'],
        input="<script>alert(1)</script> & more\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    texts = [element.text for element in ElementTree.fromstring(made).iter() if element.tag.endswith("text")]
    assert texts == ['a "b" <c>', "<script>alert(1)</script> & more"]
