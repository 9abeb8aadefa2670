"""Text from a terminal as an SVG picture that follows the reader's light or dark theme.

    limosa demo 2> events.txt > table.txt       # and what is to be shown of them into docs/images/demo.txt
    python docs/render_terminal.py --title "limosa demo" docs/images/demo.txt > docs/images/demo.svg

Reads files, or standard input. A line is coloured by the words in it, never changed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

CHAR_PX: Final = 7.83  # advance of one character at 13 px in the monospaced fonts that are named
LINE_PX: Final = 18
MARGIN_PX: Final = 16
BAR_PX: Final = 34
COLUMNS_MAX: Final = 132
STYLES: Final[Sequence[tuple[str, re.Pattern[str]]]] = (
    ("bad", re.compile(r"FAILED|ROLLED_BACK|falls back|rejects|kill  |cut at|✘|↩")),
    ("good", re.compile(r"COMPLETED|SUCCEEDED|commits|goes on with|answers again|back at|✔|✓")),
    ("head", re.compile(r"^[A-Z]{3,}\b|^\$ ")),
    ("now", re.compile(r"publish|IN_PROGRESS|▶")),
)
THEME: Final = """
  .frame { fill: #ffffff; stroke: #d0d7de } .bar { fill: #f6f8fa } .dot { fill: #d0d7de }
  text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328;
         white-space: pre }
  .title { fill: #59636e } .good { fill: #116329 } .bad { fill: #a40e26 } .now { fill: #0550ae }
  .head { font-weight: bold }
  @media (prefers-color-scheme: dark) {
    .frame { fill: #0d1117; stroke: #3d444d } .bar { fill: #151b23 } .dot { fill: #3d444d }
    text { fill: #d1d7e0 }
    .title { fill: #9198a1 } .good { fill: #57d364 } .bad { fill: #ff8e86 } .now { fill: #79c0ff }
  }
"""


def render(text: str, *, title: str) -> str:
    """One SVG document."""
    lines = [line.rstrip()[:COLUMNS_MAX] for line in text.expandtabs().splitlines()]
    width = round(2 * MARGIN_PX + CHAR_PX * max([len(title), *map(len, lines)], default=0))
    height = BAR_PX + 2 * MARGIN_PX + LINE_PX * len(lines)
    middle = BAR_PX // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{THEME}</style>",
        f'<rect class="frame" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
        f'<path class="bar" d="M1 {BAR_PX}V9a8 8 0 0 1 8-8H{width - 9}a8 8 0 0 1 8 8V{BAR_PX}z"/>',
        *(f'<circle class="dot" cx="{18 + 16 * i}" cy="{middle}" r="5"/>' for i in range(3)),
        f'<text class="title" x="{width // 2}" y="{middle + 5}" text-anchor="middle">{escape(title)}</text>',
    ]
    for number, line in enumerate(lines):
        y = BAR_PX + MARGIN_PX + LINE_PX * number + 13
        if line:
            parts.append(
                f'<text{_class(line)} x="{MARGIN_PX}" y="{y}" xml:space="preserve">{escape(line)}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


def _class(line: str) -> str:
    found = next((name for name, words in STYLES if words.search(line)), "")
    return f' class="{found}"' if found else ""


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--title", default="")
    arguments = parser.parse_args(words)
    texts = [path.read_text(encoding="utf-8") for path in arguments.files] or [sys.stdin.read()]
    sys.stdout.write(render("\n".join(text.strip("\n") + "\n" for text in texts), title=arguments.title))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
