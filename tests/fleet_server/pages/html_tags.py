"""A page as a browser would read it: its elements, and what its forms would send."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

Attributes = dict[str, str]


@dataclass(slots=True)
class Page:
    elements: list[tuple[str, Attributes]] = field(default_factory=list)
    forms: dict[str, dict[str, str]] = field(default_factory=dict)  # action -> hidden fields

    def links(self, beginning: str = "/") -> list[str]:
        """Addresses of links, in order."""
        found = [attributes.get("href", "") for tag, attributes in self.elements if tag == "a"]
        return [link for link in found if link.startswith(beginning)]

    def devices(self) -> list[str]:
        """Devices that the page links to by their name."""
        return [
            attributes["href"].removeprefix("/devices/")
            for tag, attributes in self.elements
            if tag == "a" and attributes.get("class") == "id"
        ]


def read(html: str) -> Page:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._action = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.page.elements.append((tag, attributes))
        if tag == "form":
            self._action = attributes.get("action", "")
            self.page.forms[self._action] = {}
        elif tag == "input" and attributes.get("type") == "hidden":
            self.page.forms[self._action][attributes["name"]] = attributes["value"]


def breaches(page: Page) -> list[str]:
    """What the policy forbids and so must not be there in the first place; what words could smuggle in."""
    found = [
        f"{tag} {name}"
        for tag, attributes in page.elements
        for name in attributes
        if name == "style" or name.startswith("on")
    ]
    found += [tag for tag, _ in page.elements if tag in ("img", "iframe", "object", "style", "base")]
    found += [
        str(attributes)
        for tag, attributes in page.elements
        if tag == "script" and not attributes.get("src", "").startswith("/static/")
    ]
    return found
