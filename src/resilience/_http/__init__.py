"""
HTTP clients in a guard: what is the same for all of them.

The modules beside this package (`httpx2`, `requests`, …) each know one client; nothing in here
imports any.

- `policy.py`: what the user chose, and one command for each host.
- `exchange.py`: one request and its response, from being let in to the last byte.
- `errors.py`: errors that are both ours and the client's.
- `retry_after.py`: what a server asks for.
- `transport.py`: the transports of httpx2 and httpx, which have one shape.
- `raw.py`: the response bodies of urllib3, which requests has too.
"""
