"""The TLS certificate of the running web server, replaced under it: connections that stand go on."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

from limosa_server.trust.trust_folder import TrustFolder

log = logging.getLogger(__name__)


class LiveCertificate:
    """`reload` may be called from any thread; the context is touched in the loop that makes handshakes."""

    def __init__(self, trust: TrustFolder) -> None:
        self._trust = trust
        self._call: Callable[[Callable[[], None]], object] | None = None
        self._context: ssl.SSLContext | None = None

    def attach(self, context: ssl.SSLContext | None, loop: asyncio.AbstractEventLoop) -> None:
        """None where another program ends TLS."""
        self._context, self._call = context, loop.call_soon_threadsafe

    def reload(self) -> None:
        if self._call is not None and self._context is not None:
            self._call(self._load)

    def _load(self) -> None:
        assert self._context is not None
        certificate, key = self._trust.tls_files()
        try:
            self._context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            log.warning("the new TLS certificate is not used: %s", error)
