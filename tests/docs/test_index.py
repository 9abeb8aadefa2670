"""Whoever opens docs/README.md finds every page."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import DOCS


def links(page: Path) -> list[Path]:
    """Files that a page links to, without code blocks, anchors and addresses of other sites."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [(page.parent / target).resolve() for target in found if target and "://" not in target]


def test_every_page_is_linked_from_the_first_one_or_its_folders() -> None:
    linked = {target for page in DOCS.rglob("README.md") for target in links(page)}
    missing = [page for page in DOCS.rglob("*.md") if page not in linked and page != DOCS / "README.md"]
    assert not missing
