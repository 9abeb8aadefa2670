"""Is somebody speaking: a recorded conversation with its annotation, as pyannote.audio ships it (MIT).

30 s at 16 kHz. Sequences are cut out of it at random places, played a little faster or slower, louder or
softer, with noise added. One part of the recording calibrates, the other evaluates.
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.datasets import auc
from benchmarks.datasets.case import LABEL, Case
from benchmarks.datasets.wheels import read_member

RATE: Final = 16_000  # samples a second
FRAME, CONTEXT = 512, 64  # samples: a step, and what silero-vad repeats of the step before
STEPS: Final = 32  # a sequence: 1.02 s
CALIBRATION, EVALUATION = 100, 200  # sequences
INPUT: Final = "input"
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`sound` float32 [480,000] in -1..1; `speaking` bool, one a sample."""

    sound: Floats
    speaking: npt.NDArray[np.bool_]


def read_recording() -> Recording:
    """Raises Unobtainable."""
    folder = "pyannote/audio/sample"
    with wave.open(io.BytesIO(read_member("pyannote", f"{folder}/sample.wav"))) as source:
        samples = np.frombuffer(source.readframes(source.getnframes()), np.int16)
    speaking = np.zeros(len(samples), np.bool_)
    for line in read_member("pyannote", f"{folder}/sample.rttm").decode().splitlines():
        begin, seconds = (float(word) for word in line.split()[3:5])
        speaking[round(begin * RATE) : round((begin + seconds) * RATE)] = True
    return Recording(sound=samples.astype(np.float32) / np.float32(32768), speaking=speaking)


def steps_of(sound: Floats) -> Floats:
    """[STEPS, 576]: each step begins with the last 64 samples of the one before (zeros at first)."""
    whole = np.concatenate([np.zeros(CONTEXT, np.float32), sound[: STEPS * FRAME]])
    starts = np.arange(STEPS)[:, None] * FRAME
    return np.asarray(whole[starts + np.arange(CONTEXT + FRAME)], np.float32)


def _noise(length: int, draw: np.random.Generator) -> Floats:
    """White, brownish or a hum; of power 1."""
    kind = draw.integers(0, 3)
    if kind == 2:
        time = np.arange(length) / RATE
        base = float(draw.uniform(50, 400))
        noise = sum(np.sin(2 * np.pi * base * k * time) / k for k in range(1, 6))
    else:
        noise = draw.normal(size=length)
        if kind == 1:
            kernel = 0.9 ** np.arange(40)
            noise = np.convolve(noise, kernel, mode="same")
    return np.asarray(noise / np.sqrt(np.mean(np.square(noise))), np.float32)


def _sequences(
    recording: Recording, parts: tuple[tuple[float, float], ...], count: int, seed: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(`input` [count, STEPS, 576], whether somebody speaks in the middle of each step [count, STEPS])."""
    draw = np.random.default_rng(seed)
    loudness = float(np.sqrt(np.mean(np.square(recording.sound[recording.speaking]))))
    rows = np.empty((count, STEPS, CONTEXT + FRAME), np.float32)
    labels = np.empty((count, STEPS), np.int64)
    for at in range(count):
        begin, end = parts[at % len(parts)]
        speed = float(draw.uniform(0.85, 1.15))
        length = STEPS * FRAME
        start = float(draw.uniform(begin * RATE, end * RATE - length * speed - 1))
        places = start + np.arange(length) * speed
        sound = np.interp(places, np.arange(len(recording.sound)), recording.sound)
        noise = loudness * 10 ** (-float(draw.uniform(0, 25)) / 20) * _noise(length, draw)
        gain = float(draw.uniform(0.3, 1.5))
        rows[at] = steps_of((gain * (sound + noise)).astype(np.float32))
        labels[at] = recording.speaking[places.astype(np.int64)[FRAME // 2 :: FRAME]]
    return rows, labels


def speech() -> Case:
    """The recording begins with 6.7 s in which nobody speaks: every third sequence comes from there."""
    recording = read_recording()
    heard = _sequences(recording, ((0.0, 3.3), (5.0, 14.6), (6.7, 14.6)), CALIBRATION, seed=1)[0]
    rows, labels = _sequences(recording, ((3.3, 6.7), (5.0, 30.0), (14.6, 30.0)), EVALUATION, seed=2)
    return Case(
        calibration={INPUT: heard},
        evaluation={INPUT: rows, LABEL: labels},
        truth="the recording's annotation, a step of 32 ms each; area under the ROC curve",
        metric={"name": auc.NAME, "output": "output"},
        inputs={"state": {"state_from": "stateN"}, "sr": {"value": RATE}},
    )
