"""Whether a release that is signed may be installed on this device now (trust 2.4). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from limosa_agent.fetch.errors import AgentTooOld, NotTheDesired, VersionRolledBack
from limosa_contracts.names import ReleaseName
from limosa_contracts.release import ReleaseCustom

_NUMBERS: Final = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?")


def check_desired(name: ReleaseName, *, signed_sha256: str, desired_sha256: str) -> None:
    """The director names a release by digest; the team must have signed the same bytes."""
    if signed_sha256 != desired_sha256:
        raise NotTheDesired(
            f"{name} is not the release that is desired",
            where=name.target_path,
            why=f"the team signed {signed_sha256[:12]}…, desired is {desired_sha256[:12]}…",
        )


def check_not_rolled_back(
    name: ReleaseName,
    custom: ReleaseCustom,
    *,
    committed_counter: int,
    may_return_to: Collection[str],
    permitted: bool,
) -> None:
    """Never below the committed release counter, with the two exceptions of trust 2.4.

    `may_return_to` is that of the running release, `permitted` says that a verified permit of the
    team names the running version and this one.
    """
    if custom.release_counter >= committed_counter or permitted or name.version in may_return_to:
        return
    raise VersionRolledBack(
        f"{name} is older than what this device committed",
        where=name.target_path,
        why=f"release counter {custom.release_counter}, committed is {committed_counter}; "
        f"the running release may return to {', '.join(sorted(may_return_to)) or 'none'}",
    )


def check_agent(name: ReleaseName, custom: ReleaseCustom, *, agent_version: str) -> None:
    """Raises AgentTooOld."""
    if version_order(agent_version) < version_order(custom.min_agent):
        raise AgentTooOld(
            f"{name} needs a newer agent",
            where=name.target_path,
            why=f"at least {custom.min_agent}, this is {agent_version}",
        )


def version_order(text: str) -> tuple[int, ...]:
    """The numbers of a version, for comparison; what follows them is not ordered.

    >>> version_order("1.20.0rc1") < version_order("1.31.1"), version_order("2.0")
    (True, (2, 0, 0))
    """
    found = _NUMBERS.match(text)
    return tuple(int(number or 0) for number in found.groups()) if found else (0, 0, 0)
