"""`limosa_agent.Model`: a prediction in the application's own process, from the same slots (agent 1, 5.4)."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from limosa_agent.serving.errors import NoSlot
from limosa_agent.serving.feedback_request import read_piece
from limosa_agent.serving.files import read_bounded
from limosa_agent.serving.in_process_voice import Voice
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.loaded_model import LoadedModel
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.slot_ref import SlotRef
from limosa_agent.serving.tensor_codec import Array
from limosa_agent.telemetry.instance_message import SOCKET
from limosa_contracts.errors import FaultError, RequestError
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import SHA256_HEX, ModelName
from limosa_contracts.serving import FILE, Serving

log = logging.getLogger(__name__)

STATE_DIR: Final = "/var/lib/limosa"
CURRENT: Final = "current"
LOOK_EVERY_NS: Final = 10_000_000  # reading the link costs more than all other checks of a call
TELL_EVERY_NS: Final = 1_000_000_000  # the supervisor, as often as its worker tells it


class Model:
    """The active release of one model. Follows a switch between two calls, within 10 ms; needs no supervisor.

    A release that does not load is left aside: the one before goes on (`failed_switch` says why).
    What it counts reaches the supervisor, if one runs, with a call after TELL_EVERY_NS, at a switch and at
    the end. Not thread-safe: one instance per thread, made after a fork.
    """

    def __init__(
        self,
        name: str,
        *,
        state_dir: str | os.PathLike[str] = STATE_DIR,
        limits: ServingLimits | None = None,
    ) -> None:
        """Raises InvalidField for the name, NoSlot, LoadFailed."""
        model = ModelName.parse(name)
        self._socket: Final = os.fspath(Path(state_dir) / SOCKET)
        self._limits: Final = limits or ServingLimits()
        self._folder: Final = Path(state_dir) / "models" / model.team / model.model
        self._link: Final = os.fspath(self._folder / CURRENT)
        self._target = self._read_link()
        self._loaded = self._load(self._target)
        self._bind()
        self._look_at = self._tell_at = 0
        self.failed_switch: FaultError | None = None

    @property
    def version(self) -> str:
        """Of the release that answered last."""
        return self._loaded.slot.version

    @property
    def manifest_sha256(self) -> str:
        return self._loaded.slot.manifest_sha256

    @property
    def serving(self) -> Serving:
        return self._loaded.serving

    def run(self, inputs: Mapping[str, Array], id: str = "") -> dict[str, Array]:  # noqa: A002  # as OIP has it
        """All outputs by name. `id`: under which `feedback` finds this prediction.

        Raises InputNames, InputDtype, InputShape, InputRange, InputCategory (counted as refused),
        InferenceFailed.
        """
        began = time.perf_counter_ns()
        if began >= self._look_at:
            self._look_at = began + LOOK_EVERY_NS
            if self._link_now() != self._target:
                self._follow()
            if began >= self._tell_at:
                self._tell_at = began + TELL_EVERY_NS
                try:
                    return self.run(inputs, id)
                finally:
                    self._voice.tell()
            began = time.perf_counter_ns()
        try:
            rows = self._check(inputs)
            outputs = self._run(inputs)
        except RequestError as error:
            self._loaded.observations.refuse(error.code)
            raise
        except FaultError as error:
            self._loaded.observations.fail(error.code)
            raise
        self._add(inputs, outputs, rows, time.perf_counter_ns() - began)
        if id:
            self._loaded.observations.feedback.remember(id, outputs, rows)
        return outputs

    predict = run

    def feedback(
        self,
        id: str,  # noqa: A002  # as above
        *,
        label: str | int | None = None,
        name: str = "",
        value: float | None = None,
        row: int = 0,
    ) -> bool:
        """What came of a prediction of this instance: its true class, or a value of the KPI `name`.

        Whether it was counted: not if the prediction is forgotten, was of another version, or the same was
        said before. Raises BadFeedback. Only sums leave the device (telemetry 5.2).
        """
        said: dict[str, JsonValue] = {"id": id, "row": row, "label": label, "value": value}
        given = {key: item for key, item in said.items() if item is not None}
        piece = read_piece(given | ({"name": name} if name else {}), "")
        counted = self._loaded.observations.feedback.take([piece]).matched == 1
        now = time.perf_counter_ns()
        if now >= self._tell_at:
            self._tell_at = now + TELL_EVERY_NS
            self._voice.tell()
        return counted

    def observation(self) -> dict[str, JsonValue]:
        """What the active release has seen since it was loaded here, as the worker reports it."""
        return self._loaded.observations.snapshot()

    def close(self) -> None:
        """Tells what was counted since the last time; the end of the process and of the object do it too."""
        self._voice.tell_last()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bind(self) -> None:
        """Bound methods are looked up once per release, not once per call."""
        self._voice = Voice(self._socket, self._loaded)
        self._at_end = weakref.finalize(self, self._voice.tell_last)
        self._check = self._loaded.check
        self._run = self._loaded.run
        self._add = self._loaded.observations.add

    def _follow(self) -> None:
        self._target = target = self._link_now()  # also if it does not load: one try
        try:
            self._loaded = self._load(target)
        except FaultError as error:
            self.failed_switch = error
            log.warning("%s goes on with %s: %s", self._loaded.slot.model, self.version, error)
            return
        self.failed_switch = None
        self._at_end()  # of the release before
        self._bind()

    def _link_now(self) -> str:
        try:
            return os.readlink(self._link)  # noqa: PTH115  # once per inference: a Path object costs more
        except OSError:
            return self._target  # what is loaded goes on, whatever happens to the folder

    def _read_link(self) -> str:
        try:
            return os.readlink(self._link)  # noqa: PTH115  # as above
        except OSError as error:
            raise NoSlot("there is no active release", where=self._link, why=str(error)) from error

    def _load(self, target: str) -> LoadedModel:
        directory = self._folder / target
        sha = directory.name
        if not SHA256_HEX.fullmatch(sha):
            raise NoSlot("the active release has no digest for a name", where=str(directory))
        serving = Serving.parse(read_bounded(directory / FILE, LIMITS.document_max_bytes))
        slot = SlotRef(
            model=serving.model,
            version=serving.version,
            manifest_sha256=sha,
            directory=str(directory),
        )
        return LoadedModel(slot, self._limits, RuntimeOptions(graph_cache=True))
