"""What identity decides: facts, time and randomness are arguments, nothing is read or written."""

from services.identity.engine import cards, clients, contacts, keys, members, requests

__all__ = ["cards", "clients", "contacts", "keys", "members", "requests"]
