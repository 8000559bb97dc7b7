"""The ledger: every unit of value in double entry."""
