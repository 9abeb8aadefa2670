"""A small fleet server for publishers: real HTTP, its own TUF checks, and it can be bent."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Targets

from limosa_contracts.oci import digest_of

TOKEN = "lmp_abcdefghijkl." + "s" * 43


@dataclass
class FleetStore:
    """What the server holds; `refuse` and `before_put` bend it."""

    top: Targets
    roles: dict[str, bytes]
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    production: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    refuse: Callable[[str, str], int | None] = lambda method, path: None
    """A status to answer with instead; 0 breaks the connection before, -1 after the work is done."""
    before_put: list[Callable[[], None]] = field(default_factory=list)
    """Runs, once each, just before metadata is taken: somebody else was faster."""

    def version(self, role: str) -> int:
        return Metadata[Targets].from_bytes(self.roles[role]).signed.version if role in self.roles else 0

    def put_roles(self, team: str, offered: dict[str, bytes], seen: str) -> tuple[int, dict[str, str]]:
        if self.before_put:
            self.before_put.pop(0)()
        if seen != f'"{max(self.version(role) for role in offered)}"':
            return 412, {"code": "LM-601", "detail": "somebody else changed it first"}
        for role, data in offered.items():
            metadata = Metadata[Targets].from_bytes(data)
            parent = self.top if role == team else Metadata[Targets].from_bytes(self.roles[team]).signed
            try:
                parent.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
            except (RepositoryError, ValueError) as error:
                return 422, {"code": "LM-607", "detail": str(error)}
            if metadata.signed.version <= self.version(role):
                return 422, {"code": "LM-607", "detail": "the version does not grow"}
            for path, target in metadata.signed.targets.items():
                if f"sha256:{target.hashes['sha256']}" not in self.manifests:
                    return 422, {"code": "LM-607", "detail": f"{path} is not on the server"}
        self.roles.update(offered)
        return 200, {}


@contextmanager
def publish_server(trust: Path) -> Iterator[tuple[str, FleetStore]]:
    """(URL, store) of a server that begins with what `limosa keys init` made for it."""
    files = {
        path.name.split(".", 1)[1].removesuffix(".json"): path for path in (trust / "tuf").glob("*.json")
    }
    top = Metadata[Targets].from_bytes(files.pop("targets").read_bytes()).signed
    del files["root"]
    store = FleetStore(top=top, roles={role: path.read_bytes() for role, path in files.items()})
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet
    store: FleetStore

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Silent."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.store.requests.append((self.command, self.path))
        bent = self.store.refuse(self.command, self.path)
        if bent == 0:
            self.close_connection = True
            return
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"code": "LM-402", "detail": "no valid credentials"})
        elif bent is not None and bent > 0:
            self._answer(
                bent, {"code": "LM-999", "detail": "bent"}, {"Location": "http://elsewhere.example/"}
            )
        else:
            status, answer, headers = self._route(urlsplit(self.path).path, body)
            if bent == -1:
                self.close_connection = True
                return
            self._answer(status, answer, headers)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _serve  # noqa: N815  # the base class looks for these

    def _route(self, path: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        if role := re.fullmatch(r"/api/v1/teams/[^/]+/metadata/([^/]+)", path):
            if role[1] not in self.store.roles:
                return 404, {"code": "LM-413", "detail": "no such role"}, {}
            data = self.store.roles[role[1]]
            return 200, json.loads(data), {"ETag": f'"{self.store.version(role[1])}"'}
        if team := re.fullmatch(r"/api/v1/teams/([^/]+)/metadata", path):
            offered = {
                name.removesuffix(".json"): json.dumps(document).encode()
                for name, document in json.loads(body)["metadata"].items()
            }
            return *self.store.put_roles(team[1], offered, self.headers.get("If-Match", "")), {}
        if path == "/api/v1/releases":
            return (
                200,
                {"items": [{"version": version} for version in self.store.production], "next": None},
                {},
            )
        return self._registry(path, body)

    def _registry(self, path: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        store = self.store
        if path.endswith("/blobs/uploads/"):
            name = f"{path}{len(store.uploads)}"
            store.uploads[name] = b""
            return 202, {}, {"Location": f"{name}?state=x"}
        if path in store.uploads:
            expected = f"{len(store.uploads[path])}-{len(store.uploads[path]) + len(body) - 1}"
            if self.command == "PATCH" and self.headers["Content-Range"] != expected:
                return 416, {"code": "LM-602", "detail": "out of order"}, {}
            store.uploads[path] += body
            if self.command == "PATCH":
                return 202, {}, {"Location": f"{path}?state=x"}
            digest = parse_qs(urlsplit(self.path).query)["digest"][0]
            if digest_of(store.uploads[path]) != digest:
                return 422, {"code": "LM-202", "detail": "other bytes"}, {}
            store.blobs[digest] = store.uploads.pop(path)
            return 201, {}, {}
        kind, reference = path.rsplit("/", 2)[1:]
        if kind == "blobs":
            return (200 if reference in store.blobs else 404), {}, {}
        store.manifests[digest_of(body)] = body
        store.tags[reference] = digest_of(body)
        return 201, {}, {}

    def _answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        data = b"" if self.command == "HEAD" else json.dumps(value).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
