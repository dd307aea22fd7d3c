"""Kubernetes quantities, which the API server rewrites to a canonical form ("1000m" to "1")."""

from decimal import Decimal, InvalidOperation
from typing import Final

_SUFFIXES: Final = {
    "": Decimal(1), "m": Decimal("0.001"),
    "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9, "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30, "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip


def parse(quantity: str | float) -> Decimal:
    """Value of a quantity; raises ``ValueError`` where the API server would refuse it.

    Source: k8s.io/apimachinery/pkg/api/resource.
    """
    text = str(quantity).strip()
    number = text.rstrip("EPTGMKkim")
    try:
        return Decimal(number) * _SUFFIXES[text[len(number) :]]
    except (InvalidOperation, KeyError):
        raise ValueError(f"{text!r} is not a quantity such as 500m, 2Gi or 1.5") from None


def equal(left: str | float, right: str | float) -> bool:
    """Whether two quantities are the same amount, however they are written."""
    try:
        return parse(left) == parse(right)
    except ValueError:
        return False
