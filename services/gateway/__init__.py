"""The gateway: one Envoy configuration, rendered from the contracts. Envoy itself is the server."""
