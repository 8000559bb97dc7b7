"""Looking after a ledger: what is true, what is owed, what comes in from elsewhere."""
