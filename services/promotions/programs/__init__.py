"""Programs at work: what is live, what purchases count, and where members stand."""
