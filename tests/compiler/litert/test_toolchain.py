"""An environment is there whole, or not at all, however its making ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from limosa_compiler.errors import NoPython, ToolchainFailed, ToolchainMissing
from limosa_compiler.litert.pythons import find_python
from limosa_compiler.litert.toolchain import (
    Toolchain,
    folder_name,
    install,
    installed,
    pins,
    remove,
    require_toolchain,
    toolchain_annotations,
    toolchains_folder,
)
from tests.support.litert import require_toolchain as require_for_tests
from tests.support.processes import Processes, script
from tests.support.programs import unavailable
from tests.support.waiting import wait_until

INSTALL = """
import sys
from pathlib import Path
from limosa_compiler.litert.toolchain import install

def check(toolchain):
    print("checking", flush=True)

root, pins, python = (Path(word) for word in sys.argv[1:4])
install(check=check, root=root, pins_file=pins, python=python, on_step=lambda text: print(text, flush=True))
print("installed", flush=True)
"""


def nothing(toolchain: Toolchain) -> None:
    """A check that finds nothing wrong."""


@pytest.fixture(scope="module")
def python() -> Path:
    """One that is new enough; to look for it, a dozen may have to be started."""
    try:
        return find_python().path
    except NoPython as missing:
        unavailable(str(missing))


@pytest.fixture
def no_pins(tmp_path: Path) -> Path:
    """An environment without packages: made in seconds, from nothing outside."""
    file = tmp_path / "pins.txt"
    file.write_text("# nothing\n")
    return file


def test_what_fails_its_check_is_not_kept(tmp_path: Path, no_pins: Path, python: Path) -> None:
    def broken(toolchain: Toolchain) -> None:
        assert subprocess.run([toolchain.python, "-c", "import pip"], check=False).returncode == 0
        raise ToolchainFailed("it does not do its work")

    with pytest.raises(ToolchainFailed):
        install(check=broken, root=tmp_path / "root", pins_file=no_pins, python=python)
    assert [path.name for path in (tmp_path / "root").iterdir()] == [".lock"]


def test_killed_in_the_middle_while_two_wait_and_one_environment_is_there(
    tmp_path: Path, no_pins: Path, python: Path
) -> None:
    root = tmp_path / "root"
    command: list[str | Path] = [sys.executable, "-c", INSTALL, root, no_pins, python]
    processes = Processes(tmp_path)
    try:
        first = processes.start(command, name="killed")
        wait_until(lambda: any(root.glob("*.part-*")), timeout_s=60, what=first.log)
        waiting = [processes.start(command, name=f"waiting-{number}") for number in range(2)]
        for process in waiting:
            process.wait_for_log("waiting")
        assert installed(root) == ()
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        assert [process.wait(timeout_s=120) for process in waiting] == [0, 0]
    finally:
        processes.end_all()
    logs = [process.log() for process in waiting]
    assert sum("checking" in log for log in logs) == 1
    assert all("installed" in log for log in logs)
    assert sorted(path.name for path in root.iterdir()) == [".lock", folder_name(no_pins)]
    (made,) = installed(root)
    assert not made.is_current
    assert subprocess.run([made.python, "-c", "import sys"], check=False).returncode == 0
    assert remove(root) == (made,)
    assert [path.name for path in root.iterdir()] == [".lock"]


def test_pins_that_do_not_exist_are_an_error_with_pips_own_words(
    tmp_path: Path, no_pins: Path, python: Path
) -> None:
    no_pins.write_text(f"nothing @ {(tmp_path / 'nowhere.whl').as_uri()}\n# a==1\n")
    with pytest.raises((ToolchainFailed, ValueError)):
        install(check=nothing, root=tmp_path / "root", pins_file=no_pins, python=python)
    assert installed(tmp_path / "root") == ()


def test_without_it_the_error_names_the_command_that_makes_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [script("limosa"), "toolchain", "check", "litert", "--json"],
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == ToolchainMissing.exit_code
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["hint"]) == ("LM-142", "limosa toolchain install litert")
    with pytest.raises(ToolchainMissing):
        require_toolchain(tmp_path)


def test_commands_list_and_check_what_is_installed(toolchain_found: Toolchain) -> None:
    for words, expected in ((["list"], folder_name()), (["check", "litert"], "litert works: ai-edge-litert")):
        done = subprocess.run(
            [script("limosa"), "toolchain", *words], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_toolchain_lies_in_the_users_data_folder(tmp_path: Path) -> None:
    assert toolchains_folder({"HOME": "/home/ana"}) == Path("/home/ana/.local/share/limosa/toolchains")
    assert toolchains_folder({"XDG_DATA_HOME": "/data"}) == Path("/data/limosa/toolchains")
    assert installed(tmp_path / "nothing") == ()


def test_every_package_is_pinned_and_the_manifest_of_a_litert_variant_names_them() -> None:
    assert {"onnx2tf", "litert-quantizer", "ai-edge-litert", "numpy"} <= set(pins())
    assert json.loads(toolchain_annotations("litert")["dev.limosa.toolchain"]) == dict(pins())
    assert toolchain_annotations("onnxruntime") == {}


def test_installed_one_has_its_pins(toolchain: Toolchain) -> None:
    assert require_for_tests() == toolchain
    assert toolchain.is_current
    code = (
        "import json,importlib.metadata as m,sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    )
    done = subprocess.run(
        [toolchain.python, "-c", code, *pins()], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == dict(pins())


@pytest.mark.parametrize("place", [".", "{name}", "{name}/bin"])
def test_toolchain_that_others_may_write_to_runs_nothing(place: str, tmp_path: Path) -> None:
    name = folder_name()
    (tmp_path / name / "bin").mkdir(parents=True)
    assert require_toolchain(tmp_path).folder == tmp_path / name
    (tmp_path / place.format(name=name)).chmod(0o777)
    with pytest.raises(ToolchainFailed, match="others may write"):
        require_toolchain(tmp_path)
