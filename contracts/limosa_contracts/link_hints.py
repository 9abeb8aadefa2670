"""What is wrong with a link, from what TLS said about it: the three mistakes that everybody makes once."""

from __future__ import annotations

_HINTS = (
    (
        "certificate_verify_failed",
        "name the CA of the server, its trust/ca.crt: --ca FILE, or export LIMOSA_CA=FILE; "
        "and the server by a name that its certificate has",
    ),
    ("wrong_version_number", "what listens there does not speak TLS: is it http://?"),
    ("record_layer_failure", "what listens there does not speak TLS: is it http://?"),
)


def link_hint(url: str, why: str) -> str:
    """What to try; "" where the reason says nothing special.

    >>> link_hint("https://127.0.0.1:8443", "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    'what listens there does not speak TLS: is it http://?'
    >>> link_hint("https://127.0.0.1:8443", "[Errno 111] Connection refused")
    ''
    """
    said = why.lower().replace(" ", "_")
    for word, hint in _HINTS:
        if word in said:
            return hint
    if url.startswith("http://") and "disconnected_without" in said:
        return "it hung up at once: is it https://?"
    return ""
