"""Somewhere to try midfill: the till of a small shop.

The cursor is in a function that is not finished. Wait for the grey text, then press Tab.
"""

from dataclasses import dataclass


@dataclass
class Item:
    """One line of a receipt."""

    name: str
    price: float
    quantity: int = 1

    def total(self) -> float:
        """Return what this line costs."""
        return self.price * self.quantity


def receipt_total(items: list[Item]) -> float:
    """Return what all the lines cost together."""
    return # <cursor>


def cheapest(items: list[Item]) -> Item:
    """Return the item that costs least."""
    return min(items, key=lambda item: item.total())


# That was one. Now go to the end of the next function, press Enter and see what comes.
def dearest(items: list[Item]) -> Item:
    """Return the item that costs most."""
