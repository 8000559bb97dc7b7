"""Secrets that are made once."""

import base64

from tools.stack.vault import Vault


def test_a_secret_is_made_once_and_kept(tmp_path):
    """Every later call reads what the first one made."""
    vault = Vault(tmp_path)
    first = vault.read("client-till")
    assert vault.read("client-till") == first
    assert Vault(tmp_path).read("client-till") == first
    assert vault.read("client-site") != first


def test_only_the_owner_may_read_a_secret(tmp_path):
    """Neither the group nor the others have any right to the file."""
    assert Vault(tmp_path).file("client-till").stat().st_mode & 0o777 == 0o600


def test_a_client_secret_is_long_enough_for_identity(tmp_path):
    """Identity refuses secrets shorter than 32 characters."""
    assert len(Vault(tmp_path).read("client-till")) >= 32


def test_a_key_is_32_bytes_in_base64(tmp_path):
    """As identity's master key is written."""
    assert len(base64.b64decode(Vault(tmp_path).key("master").read_text(), validate=True)) == 32


def test_nothing_is_left_of_a_write_cut_short(tmp_path):
    """A partial file from a killed process does not stand in the way."""
    vault = Vault(tmp_path)
    (tmp_path / ".client-till.partial").write_text("half")
    assert vault.read("client-till") != "half"
    assert [path.name for path in tmp_path.iterdir()] == ["client-till"]
