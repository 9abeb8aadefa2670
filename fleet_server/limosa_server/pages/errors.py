"""Errors of the pages: LM-690 to LM-699.

RequestError
  FormRefused
TransferError
  TooManyFollowers
"""

from __future__ import annotations

from limosa_contracts.errors import RequestError, TransferError


class FormRefused(RequestError):
    code = "LM-690"
    summary = "a form did not come from a page of this session, or the page was too old"
    http_status = 403
    default_hint = "open the page again, and repeat what you did there"


class TooManyFollowers(TransferError):
    code = "LM-691"
    summary = "too many pages follow this server live"
    default_hint = "close some; a page without live news still refreshes by itself"
