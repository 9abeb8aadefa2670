"""A plan as a document to hand to others: timeline, risks, how it is undone (rollouts 4)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.json_value import JsonObject
from limosa_contracts.rollout.on_failure import Scope
from limosa_server.core.planning import conditions
from limosa_server.core.planning.summary import PlanSummary, about, few
from limosa_server.core.planning.wording import size, when
from limosa_server.core.wording import devices

NAMED: Final = 12  # devices named in a list
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One section: paragraphs, then a table (its first row is the head), then a list."""

    title: str
    paragraphs: Sequence[str] = ()
    table: Rows = ()
    items: Sequence[str] = ()


def as_markdown(planned: JsonObject, *, at: float) -> str:
    """CommonMark with tables. `at`: when it was made, Unix seconds. Raises InvalidField."""
    plan = PlanSummary.parse(planned)
    lines = [f"# {_title(plan)}", "", _escaped(_made(plan, at))]
    for part in parts(plan):
        lines += ["", f"## {part.title}"]
        for paragraph in part.paragraphs:
            lines += ["", _escaped(paragraph)]
        if part.table:
            lines += ["", *_markdown_table(part.table)]
        if part.items:
            lines += ["", *(f"- {_escaped(item)}" for item in part.items)]
    return "\n".join(lines) + "\n"


def as_html(planned: JsonObject, *, at: float) -> str:
    """One file that needs nothing else; no script. Raises InvalidField."""
    plan = PlanSummary.parse(planned)
    body = [f"<h1>{html.escape(_title(plan))}</h1>", f"<p>{html.escape(_made(plan, at))}</p>"]
    for part in parts(plan):
        body.append(f"<h2>{html.escape(part.title)}</h2>")
        body += [f"<p>{html.escape(one)}</p>" for one in part.paragraphs]
        if part.table:
            body.append(_html_table(part.table))
        if part.items:
            body.append("<ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in part.items) + "</ul>")
    title = html.escape(_title(plan))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def parts(plan: PlanSummary) -> tuple[Part, ...]:
    return (
        *([Part(title="It cannot start", items=plan.problems)] if plan.problems else []),
        _summary(plan),
        _before(plan),
        _timeline(plan),
        _watched(plan),
        _risks(plan),
        _undone(plan),
        _without(plan),
    )


def _title(plan: PlanSummary) -> str:
    return f"Rollout of {plan.spec.release} to {plan.spec.target}"


def _made(plan: PlanSummary, at: float) -> str:
    return f"Made on {when(at)}. Fingerprint {plan.fingerprint[:16]}. Nothing has started."


def _summary(plan: PlanSummary) -> Part:
    waves = "1 wave" if len(plan.waves) == 1 else f"{len(plan.waves)} waves"
    return Part(
        title="In short",
        table=[
            ["what", ""],
            ["release", str(plan.spec.release)],
            ["target", plan.spec.target],
            ["devices", f"{plan.devices} in {waves}; {len(plan.excluded)} left out"],
            ["expected", f"{about(plan.expected_s)}, {plan.expected_from}"],
            ["at most", f"{about(plan.longest_s)}, and {conditions.waits(plan.spec)}"],
            ["bytes to move", plan.moving],
        ],
    )


def _before(plan: PlanSummary) -> Part:
    switch, *times = conditions.windows(plan.spec)
    return Part(
        title="Before it starts, and before a device switches",
        table=[
            ["what", ""],
            ["approval", conditions.approval(plan.spec)],
            ["start", conditions.start(plan.spec)],
            ["windows", switch + (f": {'; '.join(times)}" if times else "")],
        ],
    )


def _timeline(plan: PlanSummary) -> Part:
    rows = [["wave", "devices", "starts", "through", "at the latest", "bakes", "bytes"]]
    for wave in plan.waves:
        away = f" ({wave.offline} offline)" if wave.offline else ""
        rows.append(
            [
                wave.name,
                f"{len(wave.devices)}{away}",
                "at once" if wave.starts_s == 0 else f"after {about(wave.starts_s)}",
                f"after {about(wave.ends_s)}",
                f"after {about(wave.latest_s)}",
                wave.bake + (", then a person resumes it" if wave.then == "pause" else ""),
                size(wave.size_bytes),
            ]
        )
    first = plan.waves[0].devices if plan.waves else ()
    return Part(
        title="Timeline",
        paragraphs=[
            "Times count from the start. No wave starts before the gate of the one before has passed."
        ],
        table=rows,
        items=[f"The first devices are {few(list(first), NAMED)}."] if first else [],
    )


def _watched(plan: PlanSummary) -> Part:
    rules = []
    for rule in plan.spec.abort:
        hard = f", or {rule.hard_stop_count} at all" if rule.hard_stop_count is not None else ""
        rules.append(
            f"{rule.action.value} when devices that {_failing(rule.failure.value)} are above "
            f"{rule.threshold:.0%} with {rule.confidence:.0%} confidence{hard}"
        )
    return Part(
        title="What stops it",
        paragraphs=[f"Seen with the first wave: {plan.judge}."],
        items=[*(f"Gate of {wave.name}: {wave.gate}." for wave in plan.waves), *(f"{r}." for r in rules)],
    )


def _failing(kind: str) -> str:
    return "failed in any way" if kind == "all" else f"are {kind.replace('_', ' ')}"


def _risks(plan: PlanSummary) -> Part:
    stuck = sum(group.devices for group in plan.returns if not group.good)
    risks = list(plan.warnings)
    if stuck:
        risks.append(f"{devices(stuck)} cannot go back once committed")
    if plan.offline:
        risks.append(
            f"{devices(len(plan.offline))} cannot be reached now; they follow in the tail, behind the gates"
        )
    if plan.excluded:
        risks.append(f"without the release: {devices(len(plan.excluded))}; see the end")
    if plan.spec.on_failure.rollback is Scope.NONE:
        risks.append("nothing is rolled back by itself")
    return Part(title="Risks", items=risks or ["None is known."])


def _undone(plan: PlanSummary) -> Part:
    return Part(
        title="How it is undone",
        paragraphs=[
            f"On failure {plan.undone}. {_sentence(conditions.retry(plan.spec))}",
            "By hand: `limosa rollout pause ID` stops offers; `limosa rollout cancel ID` ends it and keeps "
            "what has committed; `limosa rollout cancel ID --rollback` brings every device back. A device "
            "that finds the release bad in its own trial goes back by itself, also without a network.",
        ],
        items=[f"{group.what} ({group.why})." for group in plan.returns],
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _without(plan: PlanSummary) -> Part:
    rows = [["devices", "why"]]
    rows += [[str(group.devices), f"{group.what}: {group.why}"] for group in plan.excluded_by]
    names = few(list(plan.excluded), NAMED)
    return Part(
        title="Left out",
        paragraphs=[] if plan.excluded else ["Nobody."],
        table=rows if plan.excluded else [],
        items=[f"For example {names}."] if plan.excluded else [],
    )


def _markdown_table(rows: Rows) -> list[str]:
    head, *rest = rows
    return [
        "| " + " | ".join(_cell(one) for one in head) + " |",
        "| " + " | ".join("---" for _ in head) + " |",
        *("| " + " | ".join(_cell(one) for one in row) + " |" for row in rest),
    ]


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|")


def _escaped(text: str) -> str:
    """What devices report is not to become markup."""
    return " ".join(text.split()).replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


def _html_table(rows: Rows) -> str:
    head, *rest = rows
    cells = "".join(f"<th>{html.escape(one)}</th>" for one in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(one)}</td>" for one in row) + "</tr>" for row in rest)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}th,td{text-align:left;padding:.3rem .8rem .3rem 0;"
    "border-bottom:1px solid #999;vertical-align:top}h2{margin-top:2rem}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
)
