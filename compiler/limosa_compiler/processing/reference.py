"""The reference of all steps as Markdown, from what the steps themselves say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from limosa_compiler.processing.parameters import Parameter, parameters_of
from limosa_compiler.processing.registry import POSTPROCESS_GROUPS, PREPROCESS_GROUPS
from limosa_compiler.processing.step import Step


def preprocess_reference() -> str:
    """Every step of `[[preprocess]]` with its parameters."""
    return "\n".join(_groups(PREPROCESS_GROUPS, known=()))


def postprocess_reference() -> str:
    """Every step of `[[postprocess]]`; those that stand under `[[preprocess]]` already are only named."""
    known = [step for steps in PREPROCESS_GROUPS.values() for step in steps]
    return "\n".join(_groups(POSTPROCESS_GROUPS, known=known))


def _groups(groups: Mapping[str, Sequence[type[Step]]], *, known: Sequence[type[Step]]) -> Iterator[str]:
    for title, steps in groups.items():
        yield f"#### {title}"
        yield ""
        again = [f"`{step.name}`" for step in steps if step in known]
        if again:
            yield f"As above: {', '.join(again)}."
            yield ""
        fresh = [step for step in steps if step not in known]
        if fresh:
            yield "| step | what it does | parameters | equals | between processors |"
            yield "| --- | --- | --- | --- | --- |"
            yield from (_row(step) for step in fresh)
            yield ""


def _row(step: type[Step]) -> str:
    parameters = "<br>".join(_parameter(parameter) for _, parameter in parameters_of(step)) or "none"
    cells = (f"`{step.name}`", step.says, parameters, step.equals, step.sensitive)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _parameter(parameter: Parameter) -> str:
    unit = f" {parameter.unit}" if parameter.unit else ""
    default = "" if parameter.default is dataclasses.MISSING else f" = {_value(parameter.default)}"
    return f"`{parameter.key}{default}`{unit} ({parameter.kind}): {parameter.says}"


def _value(value: object) -> str:
    """As TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    return str(value)
