"""What an operator may set, and the sentence for what it may not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.chassis import config
from services.identity.config import Settings

MINIMAL: dict[str, Any] = {
    "server": {"port": 50051, "metrics_port": 9101},
    "database": {"database": "tessera_identity", "user": "identity", "owner": "identity_owner"},
    "master_key_file": "/secrets/master.key",
}


def load(folder: Path, **fields: Any) -> Settings:
    file = folder / "tessera.yaml"
    file.write_text(yaml.safe_dump({"identity": {**MINIMAL, **fields}}))
    return config.load(Settings, "identity", file, environment={})


def test_few_settings_are_needed(tmp_path: Path) -> None:
    """Everything but ports, database and master key has a default."""
    settings = load(tmp_path)
    assert settings.http.port == 50061
    assert settings.tokens.life_s == 900
    assert settings.clients == ()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"tokens": {"publish_lead_s": 60}}, "identity.tokens.publish_lead_s is 60"),
        (
            {"tokens": {"publish_lead_s": 600, "reload_s": 400}},
            "identity: tokens.publish_lead_s must be at least 700",
        ),
        ({"tokens": {"lifetime": 1}}, "identity.tokens.lifetime is not a known setting"),
        ({"phone_region": "Russia"}, "identity.phone_region is 'Russia'"),
        ({"virtual_card_prefix": "ABC"}, "identity.virtual_card_prefix is 'ABC'"),
        ({"clients": [{"client_id": "x", "secret_file": "f", "scopes": ["*"]}]}, "client_id"),
        ({"clients": [{"client_id": "pos-1", "secret_file": "f", "scopes": []}]}, "scopes"),
    ],
)
def test_wrong_setting_is_named_in_one_sentence(
    tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    """The start stops with the culprit's name."""
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, **fields)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
