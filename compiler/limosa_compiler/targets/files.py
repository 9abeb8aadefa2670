"""Where device profiles are read from: those that packages bring, and files of one's own."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from limosa_compiler.errors import ProfileUnusable, UnknownTarget
from limosa_compiler.evidence.provenance import cpu_features
from limosa_compiler.targets.profiles import MachineFacts
from limosa_contracts.errors import InvalidField
from limosa_contracts.profiles import Profile, load_profiles

PROFILE_MAX_BYTES: Final = 64 * 1024


def known_profiles(folder: Path | None) -> Mapping[str, Profile]:
    """Those of packages, and every `*.toml` in `folder`. Raises ProfileUnusable.

    A file may not take the name of a profile that a package brings: a build would mean another device.
    """
    found = dict(load_profiles())
    if folder is None:
        return found
    if not folder.is_dir():
        raise ProfileUnusable("there is no such folder of profiles", where=str(folder))
    for file in sorted(folder.glob("*.toml")):
        profile = read_profile(file)
        if profile.name in found:
            raise ProfileUnusable(
                "two profiles have one name",
                where=str(file),
                why=f"{profile.name!r} is there already",
                hint="give it a name of its own",
            )
        found[profile.name] = profile
    return dict(sorted(found.items()))


def profile_named(name: str, known: Mapping[str, Profile], *, where: str = "targets") -> Profile:
    """Raises UnknownTarget, naming the nearest."""
    if name in known:
        return known[name]
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    raise UnknownTarget(
        f"there is no target {name[:80]!r}",
        where=where,
        hint=f"did you mean {near[0]!r}? All of them: limosa target list" if near else "",
    )


def read_profile(file: Path) -> Profile:
    """Raises ProfileUnusable; its name must be the file's."""
    try:
        if file.stat().st_size > PROFILE_MAX_BYTES:
            raise ProfileUnusable("a profile is too large", where=str(file))
        profile = Profile.parse(file.read_text(encoding="utf-8"), where=file.name)
    except UnicodeDecodeError as error:
        raise ProfileUnusable("a profile is not text", where=str(file), why=str(error)) from error
    except InvalidField as error:
        raise ProfileUnusable(
            error.what, where=f"{file}: {error.where}", why=error.why, hint=error.hint
        ) from error
    except OSError as error:
        raise ProfileUnusable(
            "a profile cannot be read", where=str(file), why=error.strerror or ""
        ) from error
    if profile.name != file.stem:
        raise ProfileUnusable(
            "a profile's name is its file's", where=str(file), why=f"it is called {profile.name!r}"
        )
    return profile


def this_machine() -> MachineFacts:
    return MachineFacts(
        architecture=platform.machine(),
        cpu_features=tuple(sorted(cpu_features())),
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )
