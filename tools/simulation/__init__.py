"""What a draft would have cost: receipts replayed against it, beside what is live."""
