"""Chaos shares the small chain of the acceptance tests."""

from tests.acceptance.conftest import admin, connect, pos, shop

__all__ = ["admin", "connect", "pos", "shop"]
