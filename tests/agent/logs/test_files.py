"""The log on disk stays small, and is read back whole, newest last."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from limosa_agent.logs.files import NAME, LogFiles, log_files
from limosa_agent.logs.reading import Wanted, follow, newest

ALL = Wanted()


def write(files: LogFiles, *numbers: int, level: str = "info", model: str = "") -> None:
    for number in numbers:
        time = f"2027-01-15T08:00:{number % 60:02d}.000Z"
        files.write(
            json.dumps(
                {"time": time, "level": level, "model": model, "message": f"{number}", "pad": "x" * 900}
            )
        )


def messages(state: Path, wanted: Wanted = ALL, *, lines: int = 10_000) -> list[str]:
    return [str(line["message"]) for line in newest(state, wanted, lines=lines)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_log_of_months_keeps_its_size_and_the_newest_lines(tmp_path: Path, count: int) -> None:
    files = LogFiles(tmp_path, files=count, file_max_bytes=16384)
    write(files, *range(500))
    files.close()
    kept = log_files(tmp_path)
    assert len(kept) <= count
    assert sum(path.stat().st_size for path in kept) <= count * 16384
    found = messages(tmp_path)
    assert found == [str(number) for number in range(500 - len(found), 500)]
    assert messages(tmp_path, lines=3) == ["497", "498", "499"]


def test_start_with_fewer_files_removes_what_was_kept_before(tmp_path: Path) -> None:
    for count in (5, 2):
        files = LogFiles(tmp_path, files=count, file_max_bytes=16384)
        write(files, *range(200))
        files.close()
    assert len(log_files(tmp_path)) == 2


def test_half_a_line_of_a_lost_power_is_passed_over(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, files=2, file_max_bytes=16384)
    write(files, 1)
    files.close()
    with (tmp_path / "logs" / NAME).open("ab") as stream:
        stream.write(b'{"time":"2027-01\n')
    files = LogFiles(tmp_path, files=2, file_max_bytes=16384)
    write(files, 2)
    files.close()
    assert messages(tmp_path) == ["1", "2"]


def test_lines_are_chosen_by_level_model_and_age(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, files=2, file_max_bytes=65536)
    write(files, 1, 2)
    write(files, 3, level="warning", model="demo/motion")
    write(files, 4, level="critical")
    files.close()
    assert messages(tmp_path, Wanted(level="warning")) == ["3", "4"]
    assert messages(tmp_path, Wanted(model="demo/motion")) == ["3"]
    assert messages(tmp_path, Wanted(since="2027-01-15T08:00:02.000Z")) == ["2", "3", "4"]


def test_disk_that_takes_nothing_costs_lines_and_not_the_agent(tmp_path: Path) -> None:
    (tmp_path / "logs").write_bytes(b"a file where the folder should be")
    files = LogFiles(tmp_path, files=2, file_max_bytes=16384)
    write(files, 1, 2)
    assert files.lost == 2
    (tmp_path / "logs").unlink()
    write(files, 3)
    files.close()
    assert messages(tmp_path) == ["3"]


def test_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / NAME).symlink_to(victim)
    files = LogFiles(tmp_path, files=2, file_max_bytes=16384)
    write(files, 1)
    assert (files.lost, victim.read_bytes()) == (1, b"")


def test_follower_sees_every_line_over_the_change_of_files(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, files=3, file_max_bytes=16384)
    write(files, 0)
    seen: list[str] = []
    first = threading.Event()

    def watch() -> None:
        for line in follow(tmp_path, ALL):
            seen.append(str(line["message"]))
            first.set()
            if line["message"] == "end":
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    number = 0
    while not first.wait(0.05):  # it may have begun after the lines before
        number += 1
        write(files, number)
    for more in range(number + 1, number + 30):
        write(files, more)
    files.write(json.dumps({"level": "info", "message": "end"}))
    watcher.join(10)
    files.close()
    assert not watcher.is_alive()
    assert seen[-1] == "end"
    begun = int(seen[0])
    assert seen[:-1] == [str(n) for n in range(begun, number + 30)]
