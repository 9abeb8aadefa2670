"""Commands of releases and alerts: (name, summary, example), as `command_table` lists them."""

from __future__ import annotations

from typing import Final

RELEASE_ROWS: Final[tuple[tuple[str, str, str], ...]] = (
    ("release list", "List the releases the server holds", "limosa release list"),
    ("release show", "Show a release and its variants", "limosa release show demo/motion@1.0.0"),
    ("release running", "Say how many devices run which release", "limosa release running"),
    (
        "release lineage",
        "Say what a release was built from, and what became of it",
        "limosa release lineage demo/motion@1.1.0",
    ),
    (
        "release compare",
        "Say what differs between two releases",
        "limosa release compare demo/motion@1.0.0 demo/motion@1.1.0",
    ),
    (
        "release evidence",
        "Fetch the evidence of a release, its signature checked",
        "limosa release evidence demo/motion@1.1.0",
    ),
    (
        "release promote",
        "Move a release to production, or to another server",
        "limosa release promote demo/motion@1.1.0 --reason 'proven on site 3'",
    ),
    (
        "release archive",
        "Take a release out of use; its record stays",
        "limosa release archive demo/motion@1.0.0 --reason 'nobody runs it'",
    ),
    (
        "release restore",
        "Bring a release back from the archive",
        "limosa release restore demo/motion@1.0.0 --reason 'site 3 needs it'",
    ),
    (
        "release retract",
        "Offer a release to nobody any more",
        "limosa release retract demo/motion@2.0.0 --reason 'wrong labels in training'",
    ),
    ("release gates", "Show what production asks of a release", "limosa release gates"),
    (
        "release set-gate",
        "Set what production asks of a release",
        "limosa release set-gate vision --rule devices=20,for=48h",
    ),
    (
        "release collect",
        "Throw away bytes that nothing needs",
        "limosa release collect --dry-run",
    ),
)
ALERT_ROWS: Final[tuple[tuple[str, str, str], ...]] = (
    ("alert list", "List alerts, newest first", "limosa alert list"),
    ("alert show", "Show one alert with its devices", "limosa alert show 12"),
    ("alert rules", "Print the alert rules in force", "limosa alert rules"),
    ("alert set-rules", "Set the alert rules", "limosa alert set-rules alerts.toml"),
    ("alert silences", "List what keeps alerts quiet", "limosa alert silences"),
    (
        "alert silence",
        "Keep alerts quiet for a time",
        "limosa alert silence site=lab --for 4h --reason 'the lab moves'",
    ),
    ("alert unsilence", "End a silence", "limosa alert unsilence 3"),
    ("alert webhooks", "List who is told of alerts", "limosa alert webhooks"),
    (
        "alert add-webhook",
        "Tell a URL of alerts",
        "limosa alert add-webhook on-call https://hooks.example/limosa",
    ),
    ("alert remove-webhook", "Tell a URL nothing any more", "limosa alert remove-webhook on-call"),
    ("alert test-webhook", "Send a webhook a message to try it", "limosa alert test-webhook on-call"),
)
