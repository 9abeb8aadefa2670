"""The toolchain, and what was made with it once."""

from __future__ import annotations

import pytest

from limosa_compiler.litert.check import small_model
from limosa_compiler.litert.conversion import convert
from limosa_compiler.litert.toolchain import Toolchain
from tests.support.litert import data_home, require_toolchain


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return require_toolchain()


@pytest.fixture
def toolchain_found(toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch) -> Toolchain:
    """Builds and commands of this test find the toolchain where users have it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(data_home()))
    return toolchain


@pytest.fixture(scope="session")
def fp32(toolchain: Toolchain) -> bytes:
    """x [N, 2, 6, 6] -> y [N, 4] as .tflite."""
    return convert(toolchain, small_model(), where="test")
