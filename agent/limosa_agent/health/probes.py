"""Asks the operator's probes when they are due, beside everything else (agent 4.2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Final

from limosa_agent.health.probe_config import AskHttp, ProbeConfig
from limosa_agent.health.probe_results import ProbeResult, ProbeResults

AT_ONCE_MAX: Final = 2  # questions at the same time: what is measured is the device, not its probes


class Probes:
    """`tick` starts what is due and returns at once; a question that still runs is not asked again."""

    def __init__(self, probes: Sequence[ProbeConfig]) -> None:
        self.of: Final = {probe.name: ProbeResults(probe=probe) for probe in probes}
        self._due_s: Final = dict.fromkeys(self.of, 0.0)
        self._asked_s: Final = dict.fromkeys(self.of, 0.0)  # when it was asked last
        self._running: Final[dict[str, asyncio.Task[None]]] = {}
        self._free: Final = asyncio.Semaphore(AT_ONCE_MAX)

    def watching(self, model: str) -> list[ProbeResults]:
        return [results for results in self.of.values() if results.probe.watches(model)]

    def tick(self, serving: Collection[str]) -> None:
        """Only where one of the models it tells of is served."""
        now = time.monotonic()
        for name, results in self.of.items():
            watched = any(results.probe.watches(model) for model in serving)
            if watched and now >= self._due_s[name] and name not in self._running:
                self._running[name] = asyncio.get_running_loop().create_task(self._ask(results))

    def ask_since(self, model: str, moment_s: float) -> None:
        """At the next tick, where nothing was asked since: another version serves now."""
        for results in self.watching(model):
            if self._asked_s[results.probe.name] < moment_s:
                self._due_s[results.probe.name] = 0.0

    async def close(self) -> None:
        tasks = tuple(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, results: ProbeResults) -> None:
        name = results.probe.name
        try:
            async with self._free:
                asked_s = time.monotonic()
                self._asked_s[name], self._due_s[name] = asked_s, asked_s + results.probe.interval_s
                ok, said = await _answer(results.probe)
            took_s = time.monotonic() - asked_s
            results.note(ProbeResult(asked_s=asked_s, ok=ok, said=said, took_s=took_s))
        finally:
            del self._running[name]


async def _answer(probe: ProbeConfig) -> tuple[bool, str]:
    """What asks is loaded by the device that has such a probe."""
    if isinstance(probe.question, AskHttp):
        from limosa_agent.health.probe_http import ask_http

        return await ask_http(probe.question, timeout_s=probe.timeout_s)
    from limosa_agent.health.probe_program import run_program

    return await run_program(probe.question, timeout_s=probe.timeout_s)
