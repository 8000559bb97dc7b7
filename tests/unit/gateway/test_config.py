"""The gateway's settings: one section, two shared ones, nothing unknown."""

import pytest

from services.gateway import config

FILE = """
shared:
  auth: {jwks_url: "http://127.0.0.1:2/keys", token_url: "http://127.0.0.1:2/oauth2/token"}
  database: {host: elsewhere}
identity:
  whatever: 1
gateway:
  listener: {port: 8443}
  upstreams: {identity: {port: 50051}}
"""


@pytest.fixture
def file(tmp_path):
    """Write a settings file as an installation has it."""
    path = tmp_path / "tessera.yaml"
    path.write_text(FILE)
    return path


def test_section_and_shared_sections_join(file, monkeypatch):
    """Trust is said once for all roles; the environment wins."""
    monkeypatch.setenv("TESSERA_GATEWAY__LISTENER__PORT", "9443")
    settings = config.load(file)
    assert settings.auth.jwks_url == "http://127.0.0.1:2/keys"
    assert settings.listener == config.Address(host="127.0.0.1", port=9443)
    assert settings.upstreams == {"identity": config.Address(port=50051)}
    assert settings.tls is None


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("  admin_prot: 1", "gateway.admin_prot"),
        ("  limits: {calls_per_second: 0}", "gateway.limits.calls_per_second"),
        ("  metrics: {host: a}", "gateway.metrics.port"),
        ("  access_log: some", "gateway.access_log"),
    ],
)
def test_mistake_is_named_in_one_sentence(file, line, named):
    """Whoever misspells a key reads which one."""
    file.write_text(FILE + line + "\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(file)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
