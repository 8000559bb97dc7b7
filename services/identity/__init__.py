"""Who is this, and may they: members and their cards, API clients and their tokens."""
