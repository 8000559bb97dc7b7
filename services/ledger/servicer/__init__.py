"""The gRPC face of the ledger: a module for each service."""
