"""
One budget for a whole request: 500 ms that shrink through three nested calls, sync and async.

    python -m examples.budget

The storefront asks the inventory, which asks the warehouse, which asks the supplier: four small web
services, each called over a socket. `service` is the file to read. `scenes` says who is slow when,
`chain` starts and stops the services, `play` makes the requests, `visit` notes how they fare, and
`tables` shows it.

Each service tells the next one what is left by a query parameter of the example's own. The headers
by which the library may do so are not part of this example.
"""
