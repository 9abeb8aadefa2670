"""The page of reason codes, from the table of the agent."""

from __future__ import annotations

from limosa_agent.health.reason_codes import CODES, LATE_EVIDENCE, TRIAL_EVIDENCE


def reason_codes_page(made: str) -> str:
    """docs/reference/reason-codes.md."""
    rows = [
        f"| `{code}` | {reason.when} | {reason.means} | {_names(reason.evidence)} |"
        for code, reason in sorted(CODES.items())
    ]
    lines = [
        "# Reason codes",
        "",
        made,
        "",
        "Every event of a device that tells of a change says why: a code, a sentence, and the numbers behind",
        "it with the limits they were held against. Events are signed by the device; the dashboard and",
        "`limosa-agent status` show the same codes. What may be set: [agent.toml](agent-toml.md#health).",
        "",
        f"A verdict of a trial has {_names(TRIAL_EVIDENCE)} as evidence, where they were measured;",
        f"a failure after commit has {_names(LATE_EVIDENCE)}. The last column is what a code adds.",
        "",
        "| code | when | means | evidence |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        "Other codes begin with `LM-`: a desired state was refused by that [error](errors.md).",
    ]
    return "\n".join(lines) + "\n"


def _names(evidence: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in evidence)
