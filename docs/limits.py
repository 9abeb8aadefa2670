"""The page of every limit of agent and server, read from the code: name, value, unit, and the reason."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = {
    "limosa_agent": ROOT / "agent" / "limosa_agent",
    "limosa_contracts": ROOT / "contracts" / "limosa_contracts",
    "limosa_server": ROOT / "fleet_server" / "limosa_server",
}
CLASSES: Final = re.compile(r"^class (\w*Limits)\b", re.MULTILINE)
CONSTANT: Final = re.compile(r"_(S|MS|US|BYTES|CHARS|ROWS|DEPTH|MAX|MIN)$|_(MAX|MIN)_")
UNITS: Final = (
    ("_bytes_per_s", "bytes/s"), ("_bytes", "bytes"), ("_s", "s"), ("_ms", "ms"), ("_us", "µs"),
    ("_mb", "MB"), ("_percent", "%"), ("_chars", "characters"), ("_ratio", "times"), ("_days", "days"),
)  # fmt: skip
LEFT_OUT: Final = ("limosa_contracts.cli", "limosa_contracts.profiles", "limosa_server.store.migrations")
SIZES: Final = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    name: str
    value: object
    why: str

    @property
    def unit(self) -> str:
        return next((unit for end, unit in UNITS if self.name.lower().endswith(end)), "")

    @property
    def row(self) -> str:
        return f"| `{self.name}` | {shown(self.value, self.unit)} | {self.why.replace('|', '/')} |"


def shown(value: object, unit: str) -> str:
    """With its unit; whole KiB, MiB and GiB as such.

    >>> shown(65536, "bytes"), shown(1.5, "s"), shown(1000.0, "bytes/s")
    ('64 KiB', '1.5 s', '1,000 bytes/s')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if unit == "bytes":
        for size, name in SIZES:
            if value and value % size == 0:
                return f"{value // size:,} {name}"
    number = f"{value:,}" if isinstance(value, int) else f"{value:,g}"
    return f"{number} {unit}".strip()


def limits_page(made: str) -> str:
    """`made` is the comment that says where the page comes from."""
    lines = [
        made,
        "# Limits",
        "",
        "Every bound that agent and server keep, with its unit and reason. The first table is of keys of",
        "[agent.toml](agent-toml.md), as are those of health that stand on its page; what bounds memory",
        "against hostile input is not to be set. `limosa server run --help` names those of the server that",
        "can be set. What happens where a limit is met stands in its reason, or in the [error](errors.md)",
        "that it raises.",
        "",
    ]
    for title, limits in sections():
        lines += [f"## {title}", "", "| limit | value | why |", "| --- | --- | --- |"]
        lines += [*(limit.row for limit in limits), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def sections() -> Iterator[tuple[str, list[Limit]]]:
    """Classes of limits first, those of agent.toml before the others; then constants, by folder."""
    constants: dict[str, list[Limit]] = {}
    classes: list[tuple[str, list[Limit]]] = []
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            name = ".".join((package, *path.relative_to(folder).with_suffix("").parts))
            if name.startswith(LEFT_OUT) or path.stem.startswith("__"):
                continue
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
            found = CLASSES.findall(text)
            wanted = list(_constants(tree))
            if not found and not wanted:
                continue
            module = importlib.import_module(name)
            classes += [(f"{name}.{one}", list(_fields(tree, text, module, one))) for one in found]
            place = name.rpartition(".")[0]
            sentence = (ast.get_docstring(tree) or "").partition("\n")[0].rstrip(".")
            constants.setdefault(place, []).extend(_of_module(wanted, text, module, sentence))
    yield from sorted(classes, key=lambda item: (item[0] != "limosa_agent.config.Limits", item[0]))
    yield from ((place, limits) for place, limits in sorted(constants.items()) if limits)


def _fields(tree: ast.Module, text: str, module: ModuleType, name: str) -> Iterator[Limit]:
    (node,) = (one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == name)
    defaults = getattr(module, name)
    for at, field in enumerate(node.body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and field.value is not None
        ):
            after = node.body[at + 1] if at + 1 < len(node.body) else None
            value = defaults.__dataclass_fields__[field.target.id].default
            yield Limit(name=field.target.id, value=value, why=_why(text, field, after))


def _constants(tree: ast.Module) -> Iterator[tuple[ast.AnnAssign, str, ast.stmt | None]]:
    """Numbers of a module whose name ends like a limit's."""
    for at, node in enumerate(tree.body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            if name.isupper() and not name.startswith("_") and name != "DAY_S" and CONSTANT.search(name):
                yield node, name, tree.body[at + 1] if at + 1 < len(tree.body) else None


def _of_module(
    wanted: list[tuple[ast.AnnAssign, str, ast.stmt | None]], text: str, module: ModuleType, sentence: str
) -> Iterator[Limit]:
    """A constant without a reason of its own has what its module is about."""
    stem = module.__name__.rpartition(".")[2]
    for node, name, after in wanted:
        value = getattr(module, name)
        if isinstance(value, (int, float)):
            yield Limit(name=f"{stem}.{name}", value=value, why=_why(text, node, after) or f"({sentence})")


def _why(text: str, node: ast.stmt, after: ast.stmt | None) -> str:
    """The comment on its line, or the text below it."""
    line = text.splitlines()[(node.end_lineno or node.lineno) - 1]
    _, found, comment = line.partition("  # ")
    if found:
        return comment.partition("  #")[0].replace("noqa", "").strip()
    if (
        isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    ):
        return " ".join(after.value.value.split())
    return ""
