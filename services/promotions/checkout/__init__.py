"""The way of a receipt: facts are gathered, the engine decides, the ledger posts, we record."""
