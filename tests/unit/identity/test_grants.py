"""Token requests as they come."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity.oauth import grants

TYPE = ("grant_type", "client_credentials")
ID = ("client_id", "pos-1")
SECRET = ("client_secret", "s3cret")


def basic(text: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text.encode()).decode()}"


def test_credentials_in_the_form() -> None:
    """The client names itself beside the grant type."""
    grant = grants.read([TYPE, ID, SECRET], authorization=None)
    assert (grant.client_id, grant.client_secret, grant.scopes) == ("pos-1", "s3cret", None)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_credentials_in_the_header_are_form_encoded(scheme: str) -> None:
    """RFC 6749 encodes both halves before HTTP Basic does."""
    grant = grants.read([TYPE, ID], authorization=basic("pos-1:a%3Ab+c%25", scheme))
    assert (grant.client_id, grant.client_secret) == ("pos-1", "a:b c%")


def test_scopes_are_a_set() -> None:
    """Order and repeats mean nothing; an empty scope was left out."""
    grant = grants.read([TYPE, ID, SECRET, ("scope", "b a b")], authorization=None)
    assert grant.scopes == frozenset({"a", "b"})
    assert grants.read([TYPE, ID, SECRET, ("scope", "")], authorization=None).scopes is None


def test_secret_does_not_show_in_a_log() -> None:
    """The text form of a grant is of no use to a thief."""
    assert "s3cret" not in repr(grants.read([TYPE, ID, SECRET], authorization=None))


@pytest.mark.parametrize(
    ("form", "authorization", "error"),
    [
        ([ID, SECRET], None, "invalid_request"),
        ([("grant_type", ""), ID, SECRET], None, "invalid_request"),
        ([("grant_type", "password"), ID, SECRET], None, "unsupported_grant_type"),
        ([TYPE, TYPE, ID, SECRET], None, "invalid_request"),
        ([TYPE, ID, SECRET, ID], None, "invalid_request"),
        ([TYPE], None, "invalid_client"),
        ([TYPE, ID], None, "invalid_client"),
        ([TYPE, SECRET], None, "invalid_client"),
        ([TYPE, ID, SECRET], basic("pos-1:s3cret"), "invalid_request"),
        ([TYPE, ("client_id", "other")], basic("pos-1:s3cret"), "invalid_request"),
        ([TYPE], "Bearer abc", "invalid_client"),
        ([TYPE], "Basic !!!", "invalid_client"),
        ([TYPE], "Basic", "invalid_client"),
        ([TYPE], basic("no separator"), "invalid_client"),
        ([TYPE], "Basic " + base64.b64encode(b"\xff:\xff").decode(), "invalid_client"),
        ([TYPE, ID, SECRET, ("scope", "a  b")], None, "invalid_scope"),
        ([TYPE, ID, SECRET, ("scope", 'a"b')], None, "invalid_scope"),
        ([TYPE, ID, SECRET, ("scope", "é")], None, "invalid_scope"),
    ],
)
def test_bad_requests_are_refused_in_the_words_of_the_standard(
    form: list[tuple[str, str]], authorization: str | None, error: str
) -> None:
    """Each mistake has the error code that RFC 6749 gives it."""
    with pytest.raises(grants.Refused) as caught:
        grants.read(form, authorization=authorization)
    assert caught.value.error == error
    assert caught.value.status == (401 if error == "invalid_client" else 400)


@given(
    st.lists(st.tuples(st.sampled_from(["grant_type", "client_id", "scope", "x"]), st.text())),
    st.none() | st.text() | st.binary().map(lambda raw: f"Basic {base64.b64encode(raw).decode()}"),
)
def test_any_request_is_read_or_refused(
    form: list[tuple[str, str]], authorization: str | None
) -> None:
    """Nothing but Refused ever leaves."""
    try:
        grants.read([TYPE, *form], authorization=authorization)
    except grants.Refused as refused:
        assert refused.error in {  # noqa: PT017
            "invalid_request",
            "invalid_client",
            "invalid_scope",
            "unsupported_grant_type",
        }
