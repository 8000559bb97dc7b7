"""Tessera's roles, and the chassis under them."""
