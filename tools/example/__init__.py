"""A small shop to call while reading the guides."""
