"""Every command of `limosa`, without importing the party that carries it out (architecture 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from limosa_contracts.command_rows import ALERT_ROWS, RELEASE_ROWS

EXTRA_OF_PARTY: Final[Mapping[str, str]] = {
    "compiler": "compiler",
    "server": "server",
    "devices": "all",
    "host": "",
}
"""The extra that brings a party's dependencies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    path: tuple[str, ...]  # ("build",) or ("rollout", "start")
    party: str  # a key of EXTRA_OF_PARTY, and the name of its entry point
    section: str
    summary: str
    example: str

    @property
    def name(self) -> str:
        return " ".join(self.path)

    @property
    def extra(self) -> str:
        return EXTRA_OF_PARTY[self.party]


def _section(section: str, party: str, rows: tuple[tuple[str, str, str], ...]) -> tuple[Row, ...]:
    return tuple(
        Row(path=tuple(name.split()), party=party, section=section, summary=summary, example=example)
        for name, summary, example in rows
    )


START: Final = "Start here"
LOCAL: Final = "Local files"
FLEET: Final = "Fleet"
SERVER: Final = "Server"
LEARN: Final = "Learn"
SECTIONS: Final = (START, LOCAL, FLEET, SERVER, LEARN)

TABLE: Final[tuple[Row, ...]] = (
    *_section(
        START,
        "devices",
        (("demo", "See the whole loop on this machine, with real processes", "limosa demo"),),
    ),
    *_section(
        LOCAL,
        "compiler",
        (
            ("init", "Write a commented recipe for a model", "limosa init model.onnx"),
            ("build", "Compile a trained model into an edge artifact", "limosa build recipe.toml"),
            ("inspect", "Say what is in an artifact, and why", "limosa inspect motion-1.0.0.limosa"),
            (
                "diff",
                "Say what changes from one artifact to another",
                "limosa diff motion-1.0.0.limosa motion-1.1.0.limosa",
            ),
            (
                "delta make",
                "Write what one artifact needs to become another",
                "limosa delta make motion-1.0.0.limosa motion-1.1.0.limosa",
            ),
            (
                "delta apply",
                "Make the new artifact out of the old one and a delta",
                "limosa delta apply motion-1.0.0.limosa motion-1.0.0-to-1.1.0.limosadelta",
            ),
            (
                "verify",
                "Check an artifact's digests and signatures",
                "limosa verify motion-1.0.0.signed.limosa --key team.pub",
            ),
            (
                "publish",
                "Sign an artifact and push it to a server",
                "limosa publish motion-1.0.0.limosa --offline keys",
            ),
            (
                "keys init",
                "Make the keys and the trust root of a team",
                "limosa keys init --dev --offline keys --server fleet/trust --team demo",
            ),
            (
                "permit",
                "Let devices go back below the version they committed",
                "limosa permit demo/motion --from 3.0.0 --to 1.0.0 --offline keys",
            ),
            ("keys show", "Show teams, their keys and when they expire", "limosa keys show --offline keys"),
            (
                "keys add-team",
                "Make the keys of one more team",
                "limosa keys add-team --offline keys --server fleet/trust --team audio",
            ),
            (
                "keys refresh",
                "Sign a role for another while, with the same keys",
                "limosa keys refresh --offline keys --team vision",
            ),
            (
                "keys rotate",
                "Put a new key in the place of one",
                "limosa keys rotate director --offline keys --server fleet/trust",
            ),
            (
                "keys retire",
                "End the time in which a replaced key is good beside the new one",
                "limosa keys retire team --team vision --offline keys --server fleet/trust",
            ),
            ("target list", "List the device profiles that can be built for", "limosa target list"),
            ("target show", "Show one device profile", "limosa target show generic-x86-64"),
            ("target new", "Write a device profile of your own", "limosa target new kiosk --like rpi4"),
            ("target check", "Check a device profile", "limosa target check boards/kiosk.toml"),
            (
                "toolchain install",
                "Make the environment that a kind of target needs",
                "limosa toolchain install litert",
            ),
            ("toolchain list", "List what is installed", "limosa toolchain list"),
            ("toolchain check", "Convert, quantize and run a small model", "limosa toolchain check litert"),
            ("toolchain remove", "Remove such an environment", "limosa toolchain remove litert"),
        ),
    ),
    *_section(
        FLEET,
        "server",
        (
            ("device enroll-token", "Make a token with which one device joins", "limosa device enroll-token"),
            ("device list", "List devices and what they run", "limosa device list"),
            ("device show", "Show one device and its last reports", "limosa device show dev-0017"),
            (
                "device label",
                "Set or take away an operator's labels of a device",
                "limosa device label dev-0017 site=hq old-",
            ),
            ("device export", "Write the inventory as CSV", "limosa device export"),
            (
                "device import",
                "Set labels and groups of many devices from CSV",
                "limosa device import devices.csv --dry-run",
            ),
            ("device logs", "Read the newest lines of a device's log", "limosa device logs dev-0017"),
            ("device status", "Ask a device what it serves, now", "limosa device status dev-0017"),
            ("device identify", "Let a device make itself noticed", "limosa device identify dev-0017"),
            (
                "device pin",
                "Keep a device out of rollouts",
                "limosa device pin dev-0017 --reason 'customer demo' --for 7d",
            ),
            ("device unpin", "Let rollouts have a device again", "limosa device unpin dev-0017"),
            ("device pins", "List the devices that are pinned", "limosa device pins"),
            ("device revoke", "Shut a device out of the fleet", "limosa device revoke dev-0017"),
            (
                "device decommission",
                "Take a device out of the fleet for good",
                "limosa device decommission dev-0017 --reason scrapped",
            ),
            ("device replace", "Let new hardware become a device", "limosa device replace dev-0017"),
            ("group create", "Make a group, static or by label selector", "limosa group create canary"),
            ("group list", "List groups", "limosa group list"),
            ("group show", "Show a group and its devices", "limosa group show canary"),
            ("group add", "Add devices to a static group", "limosa group add canary dev-0017"),
            ("group remove", "Remove devices from a static group", "limosa group remove canary dev-0017"),
            (
                "group set",
                "Change a group's selector or description",
                "limosa group set hq --selector 'site=hq'",
            ),
            ("group delete", "Take a group away", "limosa group delete canary"),
            *RELEASE_ROWS,
            *ALERT_ROWS,
            (
                "mirror export",
                "Write a stick for devices without a network",
                "limosa mirror export --valid 30d stick",
            ),
            (
                "rollout plan",
                "Show what a rollout would do, and start nothing",
                "limosa rollout plan rollout.toml",
            ),
            ("rollout start", "Start a rollout", "limosa rollout start rollout.toml"),
            ("rollout list", "List rollouts", "limosa rollout list"),
            (
                "rollout status",
                "Say how a rollout goes; its exit code is the verdict",
                "limosa rollout status 7",
            ),
            ("rollout pause", "Offer the release to no further device", "limosa rollout pause 7"),
            ("rollout resume", "Go on with a paused rollout", "limosa rollout resume 7"),
            ("rollout cancel", "End a rollout", "limosa rollout cancel 7"),
            (
                "rollout submit",
                "Ask for a rollout that was written down with `start --draft`",
                "limosa rollout submit 7",
            ),
            (
                "rollout approve",
                "Agree to a rollout that waits for approval, under your name",
                "limosa rollout approve 7",
            ),
            (
                "rollout deny",
                "Say no to a rollout that waits for approval; one is enough",
                "limosa rollout deny 7",
            ),
            ("rollout finish", "End a rollout that follows its group", "limosa rollout finish 7"),
            ("rollout explain", "Say why a rollout is where it is", "limosa rollout explain 7"),
            ("rollout report", "Say what a shadow or a comparison has shown", "limosa rollout report 7"),
            ("rollout promote", "Roll out what it has shown to be good", "limosa rollout promote 7"),
        ),
    ),
    *_section(
        SERVER,
        "server",
        (
            ("server run", "Run the fleet server", "limosa server run --data fleet --dev"),
            (
                "server backup",
                "Copy a server's database and blobs while it runs",
                "limosa server backup --data fleet backup",
            ),
            (
                "server restore",
                "Put a backup back where no server is",
                "limosa server restore --data fleet backup",
            ),
            (
                "server check",
                "Say whether keys, database and blobs hold together",
                "limosa server check --data fleet",
            ),
            (
                "server broker-config",
                "Write the files of a mosquitto that runs by itself",
                "limosa server broker-config --data fleet",
            ),
            (
                "server nginx-config",
                "Print the site that nginx serves in front of the server",
                "limosa server nginx-config --data fleet --public-url https://fleet.example "
                "--certificate fleet.crt --key fleet.key",
            ),
            (
                "server epoch",
                "Show the director's epoch, or begin a new one",
                "limosa server epoch bump",
            ),
            (
                "server expiries",
                "List what ends and when: signed roles, certificates, the list of the revoked",
                "limosa server expiries",
            ),
            ("server keys", "List the keys and certificates in use, and since when", "limosa server keys"),
            (
                "server root-ca",
                "List the devices that do not have the newest root CA yet",
                "limosa server root-ca",
            ),
            (
                "server retention",
                "List what is kept for how long, and when the oldest of it goes",
                "limosa server retention",
            ),
            (
                "server second-person",
                "List what one person has asked for and a second must ask for too",
                "limosa server second-person",
            ),
            ("audit list", "List who did what, the newest last", "limosa audit list"),
            (
                "audit export",
                "Write the whole trail with its signed heads into one file, a line each",
                "limosa audit export audit.jsonl",
            ),
            (
                "audit verify",
                "Check that every entry follows from those before it, and that no kept head says otherwise",
                "limosa audit verify audit.jsonl --heads heads.txt",
            ),
            ("token create", "Make an API token with a role", "limosa token create --role operator"),
            ("token list", "List API tokens", "limosa token list"),
            ("token revoke", "Make an API token invalid", "limosa token revoke m5iax5weoghx"),
        ),
    ),
    *_section(
        LEARN,
        "host",
        (
            ("explain", "Say what an error code means and what to do", "limosa explain LM-203"),
            ("completion", "Print the script that completes commands in a shell", "limosa completion bash"),
            ("version", "Print the version", "limosa version"),
        ),
    ),
)

NOUNS: Final[Mapping[str, str]] = {
    "delta": "Deltas between two artifacts: make, apply",
    "keys": "Keys and the trust root of a team",
    "target": "Device profiles that can be built for",
    "toolchain": "Environments that some targets need for compiling",
    "device": "Devices: let them join, list, show, revoke",
    "group": "Groups of devices, static or by label selector",
    "release": "Releases: stages, lineage, who runs them; retract, compare, collect",
    "alert": "Alerts: what is wrong, who is told, what is kept quiet",
    "mirror": "Sticks for devices without a network",
    "rollout": "Plan, start, watch and stop rollouts",
    "server": "Run the fleet server and look after it",
    "token": "API tokens and their roles",
    "audit": "The audit trail: who did what, and proof that it was not rewritten",
}
"""One line for each first word that has commands below it."""


DEFAULT_OF_NOUN: Final[Mapping[str, str]] = {"delta": "make"}
"""What a noun does when the word after it is none of its commands: `limosa delta OLD NEW`."""


def rows_under(first: str) -> tuple[Row, ...]:
    """The rows whose first word is `first`."""
    return tuple(row for row in TABLE if row.path[0] == first)


def first_words(section: str) -> tuple[str, ...]:
    """First words of a section, each once, in the order of the table."""
    return tuple(dict.fromkeys(row.path[0] for row in TABLE if row.section == section))


def summary_of(first: str) -> str:
    """One line for a first word: a command's own, or that of the noun."""
    return NOUNS[first] if first in NOUNS else rows_under(first)[0].summary


def extra_for(words: tuple[str, ...]) -> str:
    """The extra that the command beginning with these words needs, "" where none does."""
    rows = rows_under(words[0]) if words else ()
    return rows[0].extra if rows else ""
