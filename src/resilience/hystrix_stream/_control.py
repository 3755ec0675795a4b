"""
Controls: an operator's hand on the circuits, where the program has said who may use them.

A request is carried out if all of this holds:

- The app was given `authorize`, and that allows it.
- It is a POST of JSON, with the header `x-resilience-control`: no form of another site can send
  that, and no script of one may without being asked first, which is refused.
- A browser that says where the request comes from says that it is this very origin.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast, final

import attrs

from resilience._core.outcome import Override
from resilience._units import show
from resilience.hystrix_stream._reply import Reply, Request, error, in_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilience._registry import Registry

__all__ = ["LONGEST_BODY", "Control", "carry_out", "read", "refusal"]

ACTIONS: Final = {
    "force_open": Override.OPEN,
    "force_closed": Override.CLOSED,
    "shadow": Override.SHADOW,
    "clear": None,
}

HEADER: Final = "x-resilience-control"

LONGEST_BODY: Final = 16_384
"""Bytes; the longest name fits in, however it is escaped."""


@final
@attrs.frozen(kw_only=True)
class Control:
    """
    What somebody wants to do: given to `authorize`, which says whether they may.

    Attributes:
        name: The command.
        action: `force_open`, `force_closed`, `shadow` or `clear`.
        headers: Those of the request, by their names in small letters.
        scope: The request as the server gives it: an ASGI scope, or a WSGI environ. Middleware puts
            sessions and users there.

    Example:
        >>> from resilience.hystrix_stream import Control
        >>> def may(control: Control) -> bool:
        ...     return control.action == "shadow" and control.scope.get("user") == "operator"
        >>> may(Control(name="stock", action="shadow", headers={}, scope={"user": "operator"}))
        True
    """

    __module__ = "resilience.hystrix_stream"
    name: str
    action: str
    headers: Mapping[str, str]
    scope: Mapping[str, Any]


def refusal(request: Request) -> Reply | None:
    """Return why a request cannot be one of this page's own; `None` if it may be."""
    headers = request.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        ours = site == "same-origin"
    else:  # an old browser, or none
        ours = origin is None or origin.partition("://")[2] == headers.get("host")
    if not ours:
        return error(403, "a control must come from the page of this very origin")
    if HEADER not in headers:
        return error(403, f"a control needs the header {HEADER}")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return error(415, "a control is sent as application/json")
    return None


def read(body: bytes, request: Request, scope: Mapping[str, Any]) -> Control | Reply:
    """Return what a body asks for, or what is wrong with it."""
    if len(body) > LONGEST_BODY:
        return error(413, f"a control has at most {LONGEST_BODY} bytes")
    try:
        asked: Any = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        return error(400, 'a control is a JSON object: {"name": "…", "action": "force_open"}')
    given = cast("dict[str, Any]", asked)
    name, action = given.get("name"), given.get("action")
    if not isinstance(name, str):
        return error(400, "name must be the name of a command")
    if not isinstance(action, str) or action not in ACTIONS:
        return error(400, f"action must be one of {', '.join(ACTIONS)}, not {show(action)}")
    return Control(name=name, action=action, headers=request.headers, scope=scope)


def carry_out(control: Control, registry: Registry) -> Reply:
    """Do what is asked."""
    if control.name not in registry:
        return error(404, f"no command is named {show(control.name)}")
    registry.entry(control.name).set_override(ACTIONS[control.action])
    return in_json(200, {"name": control.name, "override": ACTIONS[control.action]})
