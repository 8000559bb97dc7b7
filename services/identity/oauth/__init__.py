"""The HTTP face of identity: tokens for client credentials, and the keys that verify them."""

from services.identity.oauth.app import application, serve
from services.identity.oauth.issuer import Issuer, Terms
from services.identity.oauth.keyring import Keyring

__all__ = ["Issuer", "Keyring", "Terms", "application", "serve"]
