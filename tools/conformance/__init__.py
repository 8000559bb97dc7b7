"""Worked cases held against our engines: what passes, what differs by decision, what is missing."""
