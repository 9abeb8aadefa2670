"""`[[probes]]` of agent.toml: what the operator asks about a device's health (agent 4.2). Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self, TypeAlias
from urllib.parse import urlsplit

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import MODEL, NAME

PROBES_MAX: Final = 16  # each may be a process every few seconds
ARGUMENTS_MAX: Final = 32
RESULTS_MAX: Final = 60  # that are kept of one probe; M is at most as large
_KEYS: Final = ("exec", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgram:
    """Healthy if it exits with 0 within the time. `words[0]` is in `health.probe_programs`."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskHttp:
    """Healthy if a GET is answered with 200 to 299. `host` is loopback, or `socket` a Unix socket."""

    path: str
    host: str = ""
    port: int = 0
    socket: str = ""


Question: TypeAlias = RunProgram | AskHttp


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """Fails when `fail` of the last `of` answers were bad."""

    name: str
    question: Question
    interval_s: float = 10.0  # from one question to the next; never two at the same time
    timeout_s: float = 5.0
    fail: int = 3  # N
    of: int = 5  # M
    start_grace_s: float = 30.0  # bad answers so soon after a switch do not count
    models: tuple[str, ...] = ()  # whose health it tells of; empty: every model

    def watches(self, model: str) -> bool:
        return not self.models or model in self.models

    @classmethod
    def parse(cls, value: JsonValue, *, where: str, programs: Collection[str]) -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where=where)
        if fields.has("exec") == fields.has("http"):
            raise fields.wrong("exec", f"a probe has one of {' and '.join(_KEYS)}")
        question = _program(fields, programs) if fields.has("exec") else _http(fields)

        def seconds(name: str, default: float, *, low: float = 0.05) -> float:
            return fields.optional(name, lambda n: fields.number(n, low=low, high=86400), default)

        def count(name: str, default: int) -> int:
            return fields.optional(name, lambda n: fields.integer(n, low=1, high=RESULTS_MAX), default)

        probe = cls(
            name=fields.text("name", pattern=NAME),
            question=question,
            interval_s=seconds("interval_s", 10.0),
            timeout_s=seconds("timeout_s", 5.0),
            fail=count("fail", 3),
            of=count("of", 5),
            start_grace_s=seconds("start_grace_s", 30.0, low=0),
            models=fields.optional("models", lambda n: fields.texts(n, pattern=MODEL, max_items=64), ()),
        )
        if probe.fail > probe.of:
            raise fields.wrong("fail", f"{probe.fail} of {probe.of} cannot fail: `fail` is at most `of`")
        fields.optional("exec", fields.raw, None)
        fields.optional("http", fields.raw, None)
        fields.refuse_rest()
        return probe


def parse_probes(fields: Fields, name: str, *, programs: Collection[str]) -> tuple[ProbeConfig, ...]:
    """All of `[[probes]]`. Raises InvalidField."""
    probes = tuple(
        ProbeConfig.parse(value, where=place, programs=programs)
        for place, value in fields.items(name, max_items=PROBES_MAX)
    )
    if len({probe.name for probe in probes}) != len(probes):
        raise fields.wrong(name, "two probes have the same name")
    return probes


def _program(fields: Fields, programs: Collection[str]) -> RunProgram:
    words = fields.texts("exec", max_items=ARGUMENTS_MAX)
    if not words:
        raise fields.wrong("exec", "a program is needed: it is a list of words, no shell reads it")
    if words[0] not in programs:
        raise fields.wrong("exec", f"{words[0]!r} is not in health.probe_programs")
    if any("\0" in word for word in words):
        raise fields.wrong("exec", "a word holds a NUL")
    return RunProgram(words=words)


def _http(fields: Fields) -> AskHttp:
    url = fields.text("http", max_chars=1024)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise fields.wrong("http", "only printable ASCII without blanks is a URL")
    if url.startswith("unix:"):
        socket, colon, path = url.removeprefix("unix:").partition(":")
        if not socket.startswith("/") or (colon and not path.startswith("/")):
            raise fields.wrong("http", "write unix:/run/app.sock:/health")
        return AskHttp(socket=socket, path=path or "/")
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or 80
    except ValueError as error:
        raise fields.wrong("http", str(error)) from error
    # No name is looked up: who answers a resolver must not decide where a probe goes.
    if parts.scheme != "http" or not (host in ("localhost", "::1") or _is_loopback(host)):
        raise fields.wrong("http", "a probe asks this machine only: http://127.0.0.1:PORT/PATH")
    if parts.username is not None:
        raise fields.wrong("http", "a probe sends no password")
    query = f"?{parts.query}" if parts.query else ""
    return AskHttp(
        host="127.0.0.1" if host == "localhost" else host, port=port, path=(parts.path or "/") + query
    )


def _is_loopback(host: str) -> bool:
    numbers = host.split(".")
    return len(numbers) == 4 and numbers[0] == "127" and all(n.isdigit() and int(n) < 256 for n in numbers)
