"""What can go wrong between a desired release and a verified folder on this disk.

TrustError      refused, the attempt ends      VersionRolledBack, MetadataExpired, UntrustedMetadata,
                                               UnknownRelease, NotTheDesired, SignatureMissing
RequestError    refused, another would do      NoFittingVariant, AgentTooOld, Quarantined
TransferError   retried with back-off          SourceRefused, TooSlow, LengthMismatch, BudgetSpent,
                                               ForeignRedirect, FetchBusy, ClockSuspect, ProxyRefused,
                                               MirrorRefused
FaultError      this device is in trouble      DiskFull, ReleaseBroken
"""

from __future__ import annotations

from limosa_contracts.errors import FaultError, RequestError, TransferError, TrustError


class VersionRolledBack(TrustError):
    code = "LM-580"
    summary = "a release is older than the one this device committed, and nothing allows going back to it"
    default_hint = "go back only to a version that the running release lists in may_return_to"


class MetadataExpired(TrustError):
    code = "LM-581"
    summary = "signed metadata is past its expiry"
    default_hint = "check the clock of this device; if it is right, the server or the team must sign again"


class UntrustedMetadata(TrustError):
    code = "LM-582"
    summary = "metadata is not signed by whom it must be, or is older than what was seen before"


class UnknownRelease(TrustError):
    code = "LM-583"
    summary = "no team has signed the release that is desired"
    default_hint = "limosa release list"


class NotTheDesired(TrustError):
    code = "LM-584"
    summary = "the team signed other bytes under this version than those the server desires"


class SignatureMissing(TrustError):
    code = "LM-585"
    summary = "a variant carries no model signature"
    default_hint = "publish it again: `limosa publish` signs every variant"


class NoFittingVariant(RequestError):
    code = "LM-586"
    summary = "this device does not meet the requirements of any variant of a release"
    default_hint = "build a variant for this device: limosa target list"


class AgentTooOld(RequestError):
    code = "LM-587"
    summary = "a release needs a newer agent"
    default_hint = "upgrade limosa on this device"


class Quarantined(RequestError):
    code = "LM-588"
    summary = "the variant that fits has failed on this device before"
    default_hint = "publish a new version"


class SourceRefused(TransferError):
    code = "LM-589"
    summary = "the server answered a download with a status that is of no use"


class TooSlow(TransferError):
    code = "LM-590"
    summary = "a download was slower than the least rate, or took longer than its time"


class LengthMismatch(TransferError):
    code = "LM-591"
    summary = "a download was longer or shorter than announced"


class BudgetSpent(TransferError):
    code = "LM-592"
    summary = "the byte budget of this window does not cover the download"


class ForeignRedirect(TransferError):
    code = "LM-593"
    summary = "a download was redirected to another host"


class FetchBusy(TransferError):
    code = "LM-594"
    summary = "another download of this device is running"


class ClockSuspect(TransferError):
    code = "LM-597"
    summary = "metadata looks expired, but the clock of this device cannot be right"
    default_hint = "set the clock, or let NTP do it; nothing is refused for good until then"


class DiskFull(FaultError):
    code = "LM-595"
    summary = "there is not enough free space on this device"
    default_hint = "free space on the disk that holds the state folder; the download goes on where it stopped"


class ReleaseBroken(FaultError):
    code = "LM-596"
    summary = "a release on this disk is not what was installed"
    default_hint = "the agent goes back to the previous release and fetches this one again"


class ProxyRefused(TransferError):
    code = "LM-527"
    summary = "the HTTP proxy lets this device not through, or its login cannot be used"
    default_hint = "look at [proxy] in agent.toml, and ask who runs the proxy"


class MirrorRefused(TransferError):
    code = "LM-528"
    summary = "a folder or stick is no mirror, or holds what a mirror never holds"
    default_hint = "write it again: limosa mirror export"
