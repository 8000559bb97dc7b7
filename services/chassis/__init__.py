"""What every role stands on: one server, one way to refuse, one way to reach data and peers."""
