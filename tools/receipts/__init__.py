"""Receipts on the command line."""
