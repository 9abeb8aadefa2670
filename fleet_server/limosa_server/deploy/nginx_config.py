"""The site that nginx serves in front of the server, as text (server 5). No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from limosa_contracts.errors import Usage
from limosa_server.settings import ServerSettings

BLOBS_LOCATION: Final = "/_blobs/"
DELTAS_LOCATION: Final = "/_deltas/"
"""Only the server's X-Accel-Redirect leads there; from outside they do not exist."""
CONFIG_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/:[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """`listen`: what nginx listens on: a port, or address:port."""

    settings: ServerSettings  # with the port that the server listens on
    certificate: Path
    key: Path
    listen: str = "443"

    def text(self) -> str:
        """Raises Usage for a path or name that would end a directive."""
        settings = self.settings
        name = urlsplit(settings.public_url).hostname or "_"
        upstream = f"{_host(settings.host)}:{settings.port}"
        words = (name, upstream, self.listen, *map(str, (self.certificate, self.key, settings.data)))
        for word in words:
            if not word or not set(word) <= CONFIG_SAFE:
                raise Usage(f"{word!r} cannot stand in an nginx configuration", hint="use a plain path")
        return f"""# Made by `limosa server nginx-config`: TLS ends here, and nginx sends large files itself.
upstream limosa_server {{
    server {upstream};
    keepalive 32;
}}

server {{
    listen {self.listen} ssl;
    server_name {name};
    ssl_certificate {self.certificate};
    ssl_certificate_key {self.key};
    ssl_protocols TLSv1.2 TLSv1.3;

    # Streamed, not kept here first: the server has its own limits.
    client_max_body_size {settings.limits.blob_max_bytes // 2**20}m;
    proxy_request_buffering off;
    client_header_timeout 20s;
    send_timeout 60s;

    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Connection "";
    proxy_read_timeout 120s;

    location / {{
        proxy_pass http://limosa_server;
    }}
    location {BLOBS_LOCATION} {{
        internal;
        alias {settings.blobs}/sha256/;
        # What the server said of the file; nginx itself keeps only some of it.
        add_header Content-Security-Policy $upstream_http_content_security_policy always;
        add_header X-Content-Type-Options $upstream_http_x_content_type_options always;
        add_header Docker-Content-Digest $upstream_http_docker_content_digest always;
    }}
    location {DELTAS_LOCATION} {{
        internal;
        alias {settings.deltas}/;
        add_header Limosa-Delta-Base $upstream_http_limosa_delta_base always;
    }}
}}
"""


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
