"""What a visitor sees, and what is a page that may be shown."""

import re

import attrs

ON_REQUEST = "price on request"
ASK_US = "ask us"

MOST = 3
"""How many other products a page shows at most."""


@attrs.frozen
class Page:
    """
    A product page.

    Attributes:
        sku: The product.
        price: Its price, as it is shown.
        stock: Whether there is any, as it is shown.
        also_bought: Other products.
    """

    sku: str
    price: str
    stock: str
    also_bought: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether it may be shown: nothing on it is made up or missing."""
        return (
            (self.price == ON_REQUEST or re.fullmatch(r"\d+\.\d\d EUR", self.price) is not None)
            and self.stock in ("in stock", "sold out", ASK_US)
            and len(self.also_bought) <= MOST
        )
