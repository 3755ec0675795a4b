"""
The Hystrix stream and the live page: every command of a registry as it is right now.

`AsgiApp` and `WsgiApp` serve the same three addresses, below wherever they are mounted:

- `/` is a page for people: what is in trouble comes first. It is one document without anything
  from elsewhere.
- `/hystrix.stream` are server-sent events for Turbine and Hystrix dashboards, with every field of
  the Java implementation. `?delay=2000` asks for fewer, in milliseconds.
- `/live.stream` is what the page reads; its format may change.

Nothing is written down while nobody looks, so counts "of the last ten seconds" begin with the first
reader. They need no package besides this library:

    >>> from resilience import Registry
    >>> from resilience.hystrix_stream import AsgiApp
    >>> app = AsgiApp(Registry())

Both are read-only. With `authorize` the page can force circuits open or closed, put them into
shadow mode and let go of them again; who may is decided for each request:

    >>> def may(control):
    ...     return control.scope.get("user") == "operator"
    >>> app = AsgiApp(Registry(), authorize=may)
"""

from resilience.hystrix_stream._asgi import AsgiApp
from resilience.hystrix_stream._control import Control
from resilience.hystrix_stream._wsgi import WsgiApp

__all__ = ["AsgiApp", "Control", "WsgiApp"]
