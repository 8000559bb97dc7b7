"""The whole platform on one machine: real servers from wheels, every role, one supervisor."""
