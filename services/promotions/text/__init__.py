"""Campaigns as text: YAML that says exactly what the contract says, in a form that people write.

The words are the contract's own, without the unit at their end: `amount_minor: 1250` is written
`amount: 12.50 USD`, `basis_points: 1000` is `percent: 10%`, and so on for every message that the
contract has or will have, because all of it follows from the descriptors. Reading what was
written gives the same message.
"""

from services.promotions.text.files import Document, Test, dump, read
from services.promotions.text.problems import Problem
from services.promotions.text.reading import read_rules
from services.promotions.text.schema import make_schema
from services.promotions.text.writing import write_rules

__all__ = [
    "Document",
    "Problem",
    "Test",
    "dump",
    "make_schema",
    "read",
    "read_rules",
    "write_rules",
]
