"""What a basket gets and why: campaigns, the catalogue, checkout and receipts."""
