"""
The document: the live page, in one file, with a policy that lets nothing else in.

Its only script and its only style are known by their hashes, it talks to its own origin alone, no
frame may hold it, and no text can become markup.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from resilience.hystrix_stream._reply import ALWAYS, Headers

__all__ = ["body", "headers"]


@cache
def body() -> bytes:
    """Return the page."""
    return files(__package__).joinpath("page.html").read_bytes()


@cache
def headers() -> Headers:
    """Return its headers."""
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash('script')}",
            f"style-src {_hash('style')}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    return (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy),
        ("x-frame-options", "DENY"),
        *ALWAYS,
    )


def _hash(element: str) -> str:
    """Return the source expression of the text of the page's only element of a kind."""
    (text,) = re.findall(rf"<{element}>(.*?)</{element}>".encode(), body(), re.DOTALL)
    return f"'sha256-{b64encode(sha256(text).digest()).decode()}'"
