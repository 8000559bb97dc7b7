"""Benches: closed-loop load on real servers, as ratios to a no-op call in the same run."""
