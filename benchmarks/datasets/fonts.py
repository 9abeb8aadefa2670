"""Text drawn with the fonts that matplotlib ships (DejaVu, STIX, Computer Modern: free licences)."""

from __future__ import annotations

import functools
import io
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.datasets.wheels import read_member

FONTS: Final = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-BoldItalic",
    "STIXGeneral",
    "STIXGeneralItalic",
    "cmss10",
)
_WORDS: Final = (
    "amber anchor battery bearing bridge candle carbon channel cobalt copper crystal current delta "
    "device engine fabric filter flange garden gasket harbor hinge island jacket kernel kettle ladder "
    "lantern magnet marble meter mirror needle nickel nozzle orchard oxygen paddle packet piston "
    "pulley quartz radio relay ribbon rotor saddle sensor signal silver socket spindle spring station "
    "switch tablet tensor timber torque tunnel turbine valve velvet violet voltage wagon window "
    "winter yellow zenith"
)
WORDS: Final = tuple(_WORDS.split())


@functools.cache
def font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    """Raises Unobtainable."""
    content = read_member("matplotlib", f"matplotlib/mpl-data/fonts/ttf/{name}.ttf")
    return ImageFont.truetype(io.BytesIO(content), pixels)


def phrase(draw: np.random.Generator, *, characters: int) -> str:
    """Words, codes, prices and dates, no longer than `characters`."""
    parts: list[str] = []
    while True:
        word = WORDS[int(draw.integers(0, len(WORDS)))]
        number = int(draw.integers(0, 10_000))
        part = (
            word,
            word.capitalize(),
            word.upper(),
            f"{number}",
            f"{word[0].upper()}{word[1].upper()}-{number:04d}",
            f"${number / 100:.2f}",
            f"{1990 + number % 40}-{1 + number % 12:02d}-{1 + number % 28:02d}",
        )[int(draw.integers(0, 7))]
        if parts and len(" ".join([*parts, part])) > characters:
            return " ".join(parts)
        parts.append(part)


def line(text: str, draw: np.random.Generator) -> Image.Image:
    """One dark line on light ground (or the other way round), a little noisy, cut close; RGB."""
    face = font(FONTS[int(draw.integers(0, len(FONTS)))], int(draw.integers(22, 40)))
    left, top, right, bottom = face.getbbox(text)
    margin = int(draw.integers(2, 7))
    size = (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin)
    ground, ink = (int(draw.integers(180, 256)), int(draw.integers(0, 90)))
    if draw.random() < 0.2:
        ground, ink = ink, ground
    picture = Image.new("RGB", size, (ground, ground, ground))
    ImageDraw.Draw(picture).text((margin - left, margin - top), text, font=face, fill=(ink, ink, ink))
    return noisy(picture, draw, spread=float(draw.uniform(0, 18)))


def noisy(picture: Image.Image, draw: np.random.Generator, *, spread: float) -> Image.Image:
    """Grey Gaussian noise of that standard deviation, of 255."""
    pixels = np.asarray(picture, np.float32)
    noise = draw.standard_normal((*pixels.shape[:2], 1), np.float32) * np.float32(spread)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
