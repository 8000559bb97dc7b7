"""What identity decides: facts, time and randomness are arguments, nothing is read or written."""
