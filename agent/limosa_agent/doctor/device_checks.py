"""The device itself: clock, disk, who owns the files, runtimes, the service."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from limosa_agent.capabilities import RUNTIMES, runtimes
from limosa_agent.config import AgentConfig
from limosa_agent.doctor.finding import Finding, note, well, wrong
from limosa_agent.fetch.time_floor import BUILD_TIME, clock_suspect
from limosa_agent.health.watch import SYNCHRONISED
from limosa_agent.identity.identity import is_private, load_identity
from limosa_agent.service.units import SERVICE

DISK_MIN_BYTES: Final = 256 * 1024 * 1024  # room for one more release and the state
DISK_LOW_SHARE: Final = 0.05  # of the whole disk: then releases soon find no room
INODES_MIN: Final = 4096  # files; a release has about ten
SLOW_SYNC_S: Final = 0.5  # a commit of the state database takes one or two of these
IMPORT_MAX_S: Final = 60.0  # a first import on a small board, from a slow card
SYSTEMCTL_MAX_S: Final = 10.0
BOOTED: Final = Path("/run/systemd/system")  # there while systemd is process 1
MODULES: Final = {
    "onnxruntime": "onnxruntime",
    "litert": "ai_edge_litert.interpreter",
    "tflite": "tflite_runtime.interpreter",
}


def clock(config: AgentConfig) -> Finding:
    now = time.time()
    says = datetime.fromtimestamp(max(now, 0.0), UTC).isoformat(timespec="seconds")
    if clock_suspect(clock=now, floor=float(BUILD_TIME)):
        return wrong(
            "clock", says, "set the clock: timedatectl set-ntp true, or date -s; TLS fails until then"
        )
    if BOOTED.exists() and not SYNCHRONISED.exists():
        return note("clock", f"{says}, not set from the network", "timedatectl set-ntp true")
    return well("clock", says)


def disk(config: AgentConfig) -> Finding:
    if not config.state_dir.is_dir():
        return wrong("disk", f"there is no {config.state_dir}", "limosa-agent enroll --token lmt_… makes it")
    stat = os.statvfs(config.state_dir)
    free, whole = stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize
    says = f"{free // 2**20} MiB free at {config.state_dir}"
    if free < DISK_MIN_BYTES:
        return wrong("disk", says, "free some space on this disk: a release needs about three times its size")
    if stat.f_files and stat.f_favail < INODES_MIN:
        return wrong("disk", f"{stat.f_favail} files may still be made at {config.state_dir}", "remove files")
    if free < DISK_LOW_SHARE * whole:
        return note("disk", says, "free some space on this disk before the next large release")
    return well("disk", says)


def writing(config: AgentConfig) -> Finding:
    """One synced write, as each step of an update makes several."""
    if not config.state_dir.is_dir():
        return note("writing", "is tried when there is a state folder", "")
    if not os.access(config.state_dir, os.W_OK):
        owner = _owner_of(config.state_dir)
        return wrong(
            "writing", f"this user may not write {config.state_dir}", f"sudo -u {owner} limosa-agent doctor"
        )
    began = time.monotonic()
    with tempfile.TemporaryFile(dir=config.state_dir) as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    took_s = time.monotonic() - began
    says = f"a synced write took {took_s * 1000:.0f} ms"
    if took_s > SLOW_SYNC_S:
        return note("writing", says, "the disk is slow or wears out: look at dmesg")
    return well("writing", says)


def permissions(config: AgentConfig) -> Finding:
    """The key is private, and no file belongs to another user than the state folder: a command that was
    run as root leaves such files, which the agent's own user cannot replace."""
    identity = load_identity(config.identity_dir)
    if not is_private(identity.key_path):
        return wrong("permissions", "others may read this device's key", f"chmod 600 {identity.key_path}")
    stat = config.state_dir.stat()
    if stat.st_mode & 0o022:
        return wrong("permissions", f"others may write {config.state_dir}", f"chmod go-w {config.state_dir}")
    foreign = next((path for path in _some_files(config) if path.lstat().st_uid != stat.st_uid), None)
    if foreign is not None:
        owner = _owner_of(config.state_dir)
        return wrong(
            "permissions", f"{foreign} does not belong to {owner}", f"chown -R {owner} {config.state_dir}"
        )
    return well("permissions", f"{config.state_dir} belongs to {_owner_of(config.state_dir)}")


def runtime(config: AgentConfig) -> Finding:
    """Each installed runtime is loaded in a child: one built for another processor dies there."""
    found = runtimes()
    if not found:
        return wrong("runtime", "none", 'pip install "limosa[agent]"')
    broken = {name: why for name in found if (why := _cannot_import(MODULES[name]))}
    says = ", ".join(f"{name} {version}" for name, version in found.items())
    if broken:
        told = "; ".join(f"{name} does not load: {why}" for name, why in sorted(broken.items()))
        again = " ".join(RUNTIMES[name] for name in sorted(broken))
        return wrong("runtime", told, f"pip install --force-reinstall {again}")
    return well("runtime", says)


def memory(config: AgentConfig) -> Finding:
    available = _available_bytes()
    says = f"{available // 2**20} MiB can be had"
    if available < config.limits.self_test_memory_bytes // 4:
        return note("memory", says, "self-tests may fail for want of memory: stop something, or add swap")
    return well("memory", says)


def service(config: AgentConfig) -> Finding:
    """Whether systemd would start the agent again."""
    if not BOOTED.exists():
        return well("service", "no systemd here: something else starts the agent")
    enabled = _systemctl("is-enabled", SERVICE)
    if enabled not in ("enabled", "enabled-runtime", "static", "linked"):
        return note("service", f"{SERVICE} is {enabled or 'not known'}", "limosa-agent install-service")
    active = _systemctl("is-active", SERVICE)
    if active != "active":
        return wrong("service", f"{SERVICE} is {active}", f"systemctl status {SERVICE}; limosa-agent logs")
    restarts = _systemctl("show", "--property=NRestarts", "--value", SERVICE)
    if restarts not in ("", "0"):
        return note("service", f"active; started again {restarts} times", "limosa-agent logs --level warning")
    return well("service", "enabled and active")


def _some_files(config: AgentConfig) -> Iterator[Path]:
    """The state folder's files two levels deep: what a command may have made."""
    yield from config.state_dir.iterdir()
    for folder in (config.identity_dir, config.state_dir / "tuf", config.state_dir / "blobs"):
        if folder.is_dir():
            yield from folder.iterdir()


def _owner_of(path: Path) -> str:
    uid = path.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)  # of another system: an image, a container


def _cannot_import(module: str) -> str:
    """Why, or "" where it can."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            capture_output=True,
            text=True,
            timeout=IMPORT_MAX_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not within {IMPORT_MAX_S:.0f} s"
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}: is it built for this processor?"
    last = done.stderr.strip().splitlines()[-1:] or ["no word of why"]
    return "" if done.returncode == 0 else last[0][:300]


def _available_bytes() -> int:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")  # not Linux
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _systemctl(*words: str) -> str:
    """What it says, "" where it says nothing in time."""
    program = shutil.which("systemctl")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=SYSTEMCTL_MAX_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
