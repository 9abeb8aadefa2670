"""Whoever opens docs/README.md finds every page."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import DOCS, ROOT


def links(page: Path) -> list[Path]:
    """Files that a page links to, without code blocks, anchors and addresses of other sites."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [(page.parent / target).resolve() for target in found if target and "://" not in target]


def test_every_page_is_linked_from_the_first_one_or_its_folders() -> None:
    linked = {target for page in DOCS.rglob("README.md") for target in links(page)}
    missing = [page for page in DOCS.rglob("*.md") if page not in linked and page != DOCS / "README.md"]
    assert not missing


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_leads_to_a_page_and_to_a_heading_of_it() -> None:
    pages = {path.resolve() for path in (*DOCS.rglob("*.md"), *ROOT.glob("*.md"))}
    anchors = {path: headings(path) for path in pages}
    astray: list[str] = []
    for path in sorted(pages):
        text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in target:
                file, _, anchor = target.partition("#")
                to = (path.parent / file).resolve() if file else path
                if not to.exists() or (anchor and to in anchors and anchor not in anchors[to]):
                    astray.append(f"{path.name}: {target}")
    assert astray == []
