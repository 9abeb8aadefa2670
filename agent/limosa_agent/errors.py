"""What can go wrong in the device agent's supervisor and commands.

TrustError      refused, never retried     InsecureLink, DesiredNotTrusted, DesiredForeign, DesiredOld,
                                           DesiredConflict, DesiredExpired, EnrolmentRefused,
                                           AuditRewritten
TransferError   retried with back-off      ServerRefused, EnrolmentAnswerLost, AgentNotRunning,
                                           RenewedMeanwhile
RequestError    the caller's mistake       ConfigInvalid, NotEnrolled, AlreadyEnrolled, AgentRunsAlready,
                                           InferenceRefused, InputUnreadable, ModelUnknown,
                                           NothingToGoBackTo, RollbackNotNow

FaultError      this device is in trouble  UnknownTransition, JournalCorrupt, StateTooNew, ListenRefused,
                                           OnlyServing

Errors of the fetch child and of serving are in their own packages.
"""

from __future__ import annotations

from limosa_agent.fetch import errors as fetch_errors  # `limosa explain` finds them through this module
from limosa_agent.health import errors as health_errors
from limosa_agent.service import errors as service_errors
from limosa_agent.serving import errors as serving_errors
from limosa_contracts.errors import FaultError, RequestError, TransferError, TrustError

__all__ = ["fetch_errors", "health_errors", "service_errors", "serving_errors"]


class ConfigInvalid(RequestError):
    code = "LM-500"
    summary = "the agent's configuration file has a key or value that is not accepted"
    default_hint = "every key is listed in docs/reference/agent-toml.md"


class NotEnrolled(RequestError):
    code = "LM-501"
    summary = "this device has no identity yet"
    default_hint = "limosa-agent enroll --config agent.toml --token lmt_…"


class AlreadyEnrolled(RequestError):
    code = "LM-502"
    summary = "this device has an identity already"
    default_hint = "to enrol it anew, move its `identity` folder away first"


class EnrolmentAnswerLost(TransferError):
    code = "LM-503"
    summary = "the token was sent but no whole answer came back: it may be used up"
    default_hint = "make a new token: limosa device enroll-token"


class EnrolmentRefused(TrustError):
    code = "LM-504"
    summary = "the server's answer to an enrolment is not for this device's key, or is not safe to use"


class UnknownTransition(FaultError):
    code = "LM-505"
    summary = "an event came that the update machine's table does not have for this phase"


class JournalCorrupt(FaultError):
    code = "LM-506"
    summary = "the state database cannot be read; the last good version is served"


class StateTooNew(FaultError):
    code = "LM-507"
    summary = "the state database was written by a newer agent"
    default_hint = "install the newer agent again"


class DesiredNotTrusted(TrustError):
    code = "LM-508"
    summary = "a desired state is not signed by the director, or is not a desired state"


class AuditRewritten(TrustError):
    code = "LM-659"
    summary = "the server's audit trail is shorter than this device has seen it, or another one"
    default_hint = "limosa audit verify --heads FILE, with what limosa-agent status --json has as audit_head"


class RootsRefused(TrustError):
    code = "LM-693"
    summary = "the server named root CAs with which this device would not find back to it"
    default_hint = "what is there stays; on the server: limosa server root-ca, and which certificate it shows"


class DesiredForeign(TrustError):
    code = "LM-509"
    summary = "a desired state is for another device"


class DesiredOld(TrustError):
    code = "LM-510"
    summary = "a desired state is older than the one accepted last"


class DesiredConflict(TrustError):
    code = "LM-511"
    summary = "two different desired states carry the same number: the director key signs for two"


class DesiredExpired(TrustError):
    code = "LM-512"
    summary = "a desired state is past its expiry"
    default_hint = "check the clock of this device: limosa-agent doctor"


class AgentNotRunning(TransferError):
    code = "LM-513"
    summary = "no agent answers on the control socket"
    default_hint = (
        "systemctl start limosa-agent, or: limosa-agent run; then limosa-agent logs says what happened"
    )


class InsecureLink(TrustError):
    code = "LM-514"
    summary = "a link without TLS leads beyond this machine"
    default_hint = "use https:// and a broker with TLS; plain links are for development on loopback only"


class ServerRefused(TransferError):
    code = "LM-515"
    summary = "the fleet server answered with an error"


class InferenceRefused(RequestError):
    code = "LM-516"
    summary = "the local inference endpoint refused a request"
    default_hint = "limosa-agent status says which models are served"


class InputUnreadable(RequestError):
    code = "LM-517"
    summary = "a file with inputs cannot be read, or does not fit the model"
    default_hint = "limosa-agent infer --help says which files it takes"


class AgentRunsAlready(RequestError):
    code = "LM-518"
    summary = "another agent runs with the same state folder"
    default_hint = "limosa-agent status"


class ListenRefused(FaultError):
    code = "LM-519"
    summary = "the agent cannot listen on the configured address"


class ModelUnknown(RequestError):
    code = "LM-520"
    summary = "this device has no such model"
    default_hint = "limosa-agent status"
    http_status = 404


class NothingToGoBackTo(RequestError):
    code = "LM-521"
    summary = "a model has no previous release on this device to go back to"
    default_hint = "limosa-agent slots"
    http_status = 409


class RollbackNotNow(RequestError):
    code = "LM-522"
    summary = "a model is just being switched, and cannot go back at this moment"
    default_hint = "limosa-agent status, and the same command again"
    http_status = 409


class OnlyServing(FaultError):
    code = "LM-533"
    summary = (
        "the agent could not start whole: it serves what is good, and does nothing else until that is mended"
    )
    default_hint = "limosa-agent status says why; limosa-agent doctor says what to do"


class RenewedMeanwhile(TransferError):
    code = "LM-529"
    summary = "another process renewed this device's certificate first; its result counts"
    default_hint = "nothing is to be done"
