"""Ledger cases run against a real ledger, as its integration tests do."""

from tests.integration.ledger.conftest import ledger, ledger_database

__all__ = ["ledger", "ledger_database"]
