"""Settings: where they come from, and the one sentence when something is wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.chassis import config


class TillSettings(config.RoleSettings):
    greeting: str = "hello"


GOOD = """
shared:
  database: {host: db.example, port: 55432}
  hotstore: {url: "redis://cache.example:6379/0"}
till:
  server: {port: 50059, metrics_port: 9109}
  database: {database: tessera_till, user: till, owner: till_owner}
other:
  server: {nonsense: 1}
"""


@pytest.fixture
def load(tmp_path: Path):
    def load_text(text, environment=None, sections=None):
        path = tmp_path / "tessera.yaml"
        path.write_text(text)
        return config.load(
            TillSettings, "till", path, sections=sections, environment=environment or {}
        )

    return load_text


def test_shared_sections_lie_under_the_roles_own(load):
    """A role writes only what differs from the installation."""
    settings = load(GOOD)
    assert settings.database.host == "db.example"
    assert settings.database.port == 55432
    assert settings.database.user == "till"
    assert settings.hotstore.url == "redis://cache.example:6379/0"
    assert settings.greeting == "hello"
    assert isinstance(settings, TillSettings)


def test_variables_win_over_the_file(load):
    """A cluster overrides one key without a file of its own."""
    settings = load(
        GOOD,
        {
            "TESSERA_TILL__DATABASE__PORT": "6000",
            "TESSERA_TILL__GREETING": "hi",
            "TESSERA_OTHER__DATABASE__PORT": "1",
            "PATH": "/bin",
        },
    )
    assert settings.database.port == 6000
    assert settings.database.host == "db.example"
    assert settings.greeting == "hi"


def test_file_is_not_needed():
    """Variables alone are a full configuration."""
    variables = {
        "TESSERA_TILL__SERVER__PORT": "1",
        "TESSERA_TILL__SERVER__METRICS_PORT": "2",
        "TESSERA_TILL__DATABASE__DATABASE": "d",
        "TESSERA_TILL__DATABASE__USER": "u",
        "TESSERA_TILL__DATABASE__OWNER": "o",
    }
    assert config.load(TillSettings, "till", None, environment=variables).server.port == 1


def test_settings_are_frozen(load):
    """Nobody changes the settings of a running role."""
    with pytest.raises(ValidationError):
        load(GOOD).greeting = "bye"


SERVER = "till: {server: {port: 1, metrics_port: 2}, "
NOT_AN_INTEGER = "input should be a valid integer, unable to parse string as an integer."
DATABASE = "database: {database: d, user: u, owner: o}}"


@pytest.mark.parametrize(
    ("text", "environment", "sentence"),
    [
        ("", {}, "till.server is missing from the settings."),
        (SERVER + "}", {}, "till.database is missing from the settings."),
        (
            "till: {server: {prt: 1}}",
            {},
            "till.server.prt is not a known setting (did you mean port?).",
        ),
        (
            SERVER + DATABASE.replace("owner: o", "owner: o, pool_size: many"),
            {},
            f"till.database.pool_size is 'many', but {NOT_AN_INTEGER}",
        ),
        (
            SERVER + DATABASE.replace("owner: o", "owner: o, pool_size: 0"),
            {},
            "till.database.pool_size is 0, but input should be greater than 0.",
        ),
        (
            "shared: {hotstor: {}}",
            {},
            "shared.hotstor is not a known setting (did you mean hotstore?).",
        ),
        ("shared: [1]", {}, "shared must hold settings, not a list."),
        ("till: 3", {}, "till must hold settings, not a number."),
        ("tilt: {}", {}, "tilt is not a section of the settings (did you mean till?)."),
        (
            SERVER + DATABASE,
            {"TESSERA_TILL__SERVR__PORT": "1"},
            "The variable TESSERA_TILL__SERVR__PORT names no known setting (did you mean server?).",
        ),
        (
            SERVER + DATABASE,
            {"TESSERA_TILL__SERVER__PROT": "1"},
            "till.server.prot is not a known setting (did you mean port?).",
        ),
        (
            SERVER + DATABASE,
            {"TESSERA_TILL__SERVER__PORT": "5s"},
            f"till.server.port is '5s', but {NOT_AN_INTEGER}",
        ),
    ],
)  # fmt: skip
def test_first_mistake_is_named_in_one_sentence(load, text, environment, sentence):
    """Whoever starts the role reads what to change and nothing else."""
    with pytest.raises(config.ConfigError) as caught:
        load(text, environment, sections=("till", "other"))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("text", ["a: [", "- 1", "just words"])
def test_file_without_sections_is_refused(load, text):
    """What is not a mapping of sections is no settings file."""
    with pytest.raises(config.ConfigError, match="settings file"):
        load(text)


def test_missing_file_is_refused(tmp_path):
    """A path that was named must exist."""
    with pytest.raises(config.ConfigError, match="No such file"):
        config.load(TillSettings, "till", tmp_path / "nowhere.yaml", environment={})


def test_secret_is_read_without_its_last_newline(tmp_path):
    """Editors end files with newlines, passwords do not."""
    path = tmp_path / "password"
    path.write_text("s3cret \n")
    assert config.secret(path) == "s3cret"
    with pytest.raises(config.ConfigError, match="cannot be read"):
        config.secret(tmp_path / "other")
