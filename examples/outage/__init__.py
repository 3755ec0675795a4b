"""
An outage, live: a service breaks in every way a service can, and its caller stays up.

    python -m examples.outage

`service` runs in a process of its own and is healthy, slow, failing, gone and healthy again.
`inventory` calls it through one `@command`, which is all the resilience there is.
The rest is the audience: `traffic` makes the calls and `timeline` remembers them, `screen` and
`lines` show them while they happen, `picture` and `summary` afterwards, and `verdict` says whether
the story held.
"""
