"""
A product page that is built from three services, and stays up while they do not.

`shop.py` is the service. `bugs.py` has the same with three mistakes that reviews let through;
`tests/testing/test_storefront.py` finds each of them by playing histories of failure.
"""
