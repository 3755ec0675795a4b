"""
A product page that is built from three services, and stays up while they do not.

As functions: `shop.py` is the page, each service behind a command. `bugs.py` has the same with
three mistakes that reviews let through; `tests/testing/test_storefront.py` finds each of them by
playing histories of failure.

As a web service: `service.py` is the same page behind HTTP, its three services asked by guarded
clients (`clients.py`), with a budget for each visitor, metrics, checks of health and a live page.
`make storefront` starts it with three real services (`upstream.py`), plays visitors through an
outage, and says what they saw.
"""
