"""Decide batches: facts in, postings or typed refusals out.

`decisions` takes one batch after the other: the `desk` has what is left by those before, a `draft`
is the one on its way. What an operation does to a draft is told by kind: `transfers`, `reversals`,
`releases`, `holds` and `handovers`.
"""

from services.ledger.engine.posting.decisions import FUTURE_MAX, post
from services.ledger.engine.posting.precedence import PRECEDENCE

__all__ = ["FUTURE_MAX", "PRECEDENCE", "post"]
