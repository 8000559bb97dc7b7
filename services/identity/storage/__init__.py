"""What identity keeps in PostgreSQL: SQL and nothing else."""

from services.identity.storage.activity import ActivityStorage, Purchase
from services.identity.storage.audit import Entry
from services.identity.storage.clients import ClientStorage, ClientTransaction
from services.identity.storage.contexts import ContextStorage
from services.identity.storage.members import MemberStorage, MemberTransaction
from services.identity.storage.signing_keys import SigningKey, SigningKeyStorage

__all__ = [
    "ActivityStorage",
    "ClientStorage",
    "ClientTransaction",
    "ContextStorage",
    "Entry",
    "MemberStorage",
    "MemberTransaction",
    "Purchase",
    "SigningKey",
    "SigningKeyStorage",
]
