"""The one error tree, split by what the reader does next (architecture 3.6).

    LimosaError
      TrustError        refuse, never retry          exit 5, HTTP 403
      TransferError     retry with back-off          exit 6, HTTP 503
      RequestError      the caller's mistake         exit 2, HTTP 422
        NotAuthorised   who you are does not allow   exit 4, HTTP 403
      VerdictError      the answer is "no"           exit 3, HTTP 409
      FaultError        this side is broken          exit 1, HTTP 500

Each concrete class has its own code. Parties add theirs in their own `errors.py`; a code that is
used twice is refused when the class is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from limosa_contracts.json_value import JsonValue

_BY_CODE: dict[str, type[LimosaError]] = {}


class LimosaError(Exception):
    """What went wrong, where, why, and what to do: rendered for people in one place only."""

    code: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        why: str = "",
        hint: str = "",
        evidence: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(what)
        self.what: Final = what
        self.where: Final = where
        self.why: Final = why
        self.hint: Final = hint or self.default_hint
        self.evidence: Final[Mapping[str, JsonValue]] = MappingProxyType(dict(evidence or {}))

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            return
        taken = _BY_CODE.get(cls.code)
        if taken is not None and taken.__qualname__ != cls.__qualname__:
            raise TypeError(f"{cls.__qualname__} reuses {cls.code} of {taken.__qualname__}")
        _BY_CODE[cls.code] = cls

    def __str__(self) -> str:
        text = self.what
        if self.where:
            text = f"{self.where}: {text}"
        return f"{text} ({self.why})" if self.why else text

    def as_json(self) -> dict[str, JsonValue]:
        """The error as one object, with the same fields in `--json`, REST problems and reports."""
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "hint": self.hint,
            "evidence": dict(self.evidence),
        }


def known_errors() -> Mapping[str, type[LimosaError]]:
    """Every concrete error class that has been imported, by its code."""
    return MappingProxyType(_BY_CODE)


class TrustError(LimosaError):
    """Refuse, and never retry."""

    exit_code = 5
    http_status = 403


class TransferError(LimosaError):
    """Retry with back-off."""

    exit_code = 6
    http_status = 503


class RequestError(LimosaError):
    """The caller's mistake; trying again changes nothing."""

    exit_code = 2
    http_status = 422


class VerdictError(LimosaError):
    """The question was understood and the answer is no."""

    exit_code = 3
    http_status = 409


class FaultError(LimosaError):
    """This side is broken: a missing dependency, a full disk, a bug."""

    exit_code = 1
    http_status = 500


class NotAuthorised(RequestError):
    code = "LM-401"
    summary = "the caller is not who this needs, or lacks the role"
    exit_code = 4
    http_status = 403


class NotAuthenticated(RequestError):
    code = "LM-402"
    summary = "no valid credentials came with the request"
    exit_code = 4
    http_status = 401
    default_hint = "limosa token create --help"


class InvalidField(RequestError):
    code = "LM-410"
    summary = "a field of a document is missing, of the wrong type or out of range"


class InvalidJson(RequestError):
    code = "LM-411"
    summary = "the bytes are not JSON as this project accepts it (UTF-8, no duplicate keys, bounded depth)"


class TooLarge(RequestError):
    code = "LM-412"
    summary = "something is larger than its limit"
    http_status = 413


class NotFound(RequestError):
    code = "LM-413"
    summary = "what was asked for does not exist"
    http_status = 404


class Conflict(RequestError):
    code = "LM-414"
    summary = "the state has changed, or does not allow this"
    http_status = 409


class Usage(RequestError):
    code = "LM-415"
    summary = "the command line does not make sense"


class InvalidSelector(RequestError):
    code = "LM-416"
    summary = "a label selector does not parse"


class InvalidArtifact(TrustError):
    code = "LM-201"
    summary = "an artifact is not what its format demands"


class DigestMismatch(TrustError):
    code = "LM-202"
    summary = "bytes do not have the digest or size they are listed with"


class SignatureMismatch(TrustError):
    code = "LM-203"
    summary = "a signature does not verify under the key it must be made with"


class Unreachable(TransferError):
    code = "LM-301"
    summary = "a server, broker or device does not answer"
    default_hint = "check that it runs and that the address is right; the same command may be given again"


class LinkLost(TransferError):
    code = "LM-302"
    summary = "a connection broke before everything had come"


class MissingDependency(FaultError):
    code = "LM-101"
    summary = "a party's extra is not installed"


class SystemRefused(FaultError):
    code = "LM-103"
    summary = "the operating system refused: a file that is missing, not allowed, or a full disk"


class Interrupted(FaultError):
    code = "LM-130"
    summary = "interrupted by the user"
    exit_code = 130


class TimedOut(TransferError):
    code = "LM-303"
    summary = "it did not happen in the time that was given"
    exit_code = 7
    http_status = 504


class Internal(FaultError):
    code = "LM-102"
    summary = "something happened that the program did not foresee"
    default_hint = "this is a defect: please report it with the lines above"
