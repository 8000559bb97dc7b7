"""The whole configuration: what must be in it, in which order, and what must not."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import config, render, typed

RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
POLICY = {
    "methodConfig": [
        {
            "name": [{"service": "tessera.shop.v1.ShopService", "method": "Read"}],
            "timeout": "1.5s",
            "retryPolicy": RETRY,
        },
        {
            "name": [{"service": "tessera.shop.v1.ShopService", "method": "Write"}],
            "timeout": "3s",
        },
    ]
}
READ, WRITE, OPEN, CLOSED = (
    f"/tessera.shop.v1.ShopService/{name}" for name in ("Read", "Write", "Open", "Closed")
)


@pytest.fixture
def source(draft):
    """Four methods: two scopes, a public one, and one that nobody may call."""
    draft.method("Read", scope="goods.read", http=[("get", "/v1/goods/{text}", "")])
    draft.method("Write", scope="goods.write", http=[("post", "/v1/goods", "*")])
    draft.method("Open", public=True)
    draft.method("Closed")
    return draft.read(POLICY)


@pytest.fixture
def rendered(source, make_settings):
    """Render with defaults."""
    return render.render(source, make_settings())


def _manager(rendered, listener=0):
    chain = rendered["static_resources"]["listeners"][listener]["filter_chains"][0]
    return chain["filters"][0]["typed_config"]


def _filter(rendered, name):
    filters = _manager(rendered)["http_filters"]
    return next(each["typed_config"] for each in filters if each["name"].endswith(name))


def _routes(rendered):
    routes = _manager(rendered)["route_config"]["virtual_hosts"][0]["routes"]
    return {route["match"].get("path", route["match"].get("prefix")): route for route in routes}


def test_filters_stand_in_the_order_that_the_design_needs(rendered):
    """Health first, CORS before tokens, translation before rights, the router last."""
    names = [each["name"].rsplit(".", 1)[-1] for each in _manager(rendered)["http_filters"]]
    assert names == [
        "health_check",
        "flood",
        "cors",
        "grpc_web",
        "body_size_limit",
        "lua",
        "grpc_json_transcoder",
        "grpc_stats",
        "jwt_authn",
        "rbac",
        "clients",
        "router",
    ]


def test_deadline_of_the_contract_bounds_every_call(rendered):
    """Both fields are needed: one for calls without a deadline, one for those with their own."""
    for path, timeout, told in ((READ, "1.5s", "1.6s"), (WRITE, "3s", "3.1s")):
        assert _routes(rendered)[path]["route"]["max_stream_duration"] == {
            "max_stream_duration": timeout,
            "grpc_timeout_header_max": told,
        }
        assert "timeout" not in _routes(rendered)[path]["route"]


def test_retries_are_those_of_the_contract(rendered):
    """A method without a policy has none at the gateway either."""
    retry = _routes(rendered)[READ]["route"]["retry_policy"]
    assert retry["num_retries"] == 3
    assert retry["retry_back_off"] == {"base_interval": "0.05s", "max_interval": "0.5s"}
    assert "unavailable" in retry["retry_on"].split(",")
    assert "5xx" not in retry["retry_on"]
    assert "retry_policy" not in _routes(rendered)[WRITE]["route"]


def test_rights_cover_exactly_what_the_contract_gives(rendered):
    """One policy a scope, one for public methods, one for passed paths; nobody's method in none."""
    policies = _filter(rendered, "rbac")["rules"]["policies"]
    assert _filter(rendered, "rbac")["rules"]["action"] == "ALLOW"
    assert set(policies) == {"open", "public", "scope:goods.read", "scope:goods.write"}
    assert CLOSED not in str(policies)
    assert OPEN in str(policies["public"])
    for scope, path in (("goods.read", READ), ("goods.write", WRITE)):
        policy = policies[f"scope:{scope}"]
        assert path in str(policy["permissions"])
        claim = policy["principals"][0]["sourced_metadata"]["metadata_matcher"]
        assert claim["value"]["list_match"]["one_of"]["string_match"] == {"exact": scope}


def test_only_public_methods_and_passed_paths_need_no_token(rendered):
    """The last rule is for everything else, and it asks for a token."""
    rules = _filter(rendered, "jwt_authn")["rules"]
    free = {rule["match"]["path"] for rule in rules if "requires" not in rule}
    assert free == {
        OPEN,
        "/oauth2/token",
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
    }
    assert rules[-1] == {"match": {"prefix": "/"}, "requires": {"provider_name": "identity"}}


def test_role_without_upstream_is_not_served(source, make_settings):
    """No route, no translation; and whoever renders can say so."""
    settings = make_settings(upstreams={})
    assert render.unserved(source, settings) == ["shop"]
    rendered = render.render(source, settings)
    assert READ not in _routes(rendered)
    assert _filter(rendered, "grpc_json_transcoder")["services"] == []


def test_upstream_without_contract_is_refused(source, make_settings):
    """A misspelt role is a mistake, not an empty role."""
    settings = make_settings(upstreams={"shpo": config.Address(port=1)})
    with pytest.raises(config.ConfigError, match=r"gateway\.upstreams\.shpo"):
        render.render(source, settings)


@pytest.mark.parametrize("url", ["", "identity:50061", "ftp://identity/keys"])
def test_address_of_identity_must_be_a_url(source, make_settings, url):
    """The sentence names the setting."""
    auth = make_settings().auth.model_copy(update={"jwks_url": url})
    with pytest.raises(config.ConfigError, match=r"gateway\.auth\.jwks_url"):
        render.render(source, make_settings(auth=auth))


def test_admin_stays_on_the_loopback(source, make_settings):
    """Wherever the gateway listens, its admin port does not."""
    rendered = render.render(
        source, make_settings(listener=config.Address(host="0.0.0.0", port=80))
    )
    assert rendered["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    edge = rendered["static_resources"]["listeners"][0]["address"]["socket_address"]
    assert edge == {"address": "0.0.0.0", "port_value": 80}


def test_metrics_listener_has_one_path(rendered):
    """Nothing else of the admin port can be reached from outside."""
    (route,) = _manager(rendered, 1)["route_config"]["virtual_hosts"][0]["routes"]
    assert route["match"] == {"path": "/stats/prometheus"}


def test_cors_is_off_without_origins(source, make_settings):
    """No origin is trusted unless it is named; named ones are matched whole."""
    closed = render.render(source, make_settings())
    host = _manager(closed)["route_config"]["virtual_hosts"][0]
    assert "typed_per_filter_config" not in host
    opened = render.render(source, make_settings(cors_origins=("https://shop.example",)))
    host = _manager(opened)["route_config"]["virtual_hosts"][0]
    policy = host["typed_per_filter_config"]["envoy.filters.http.cors"]
    assert policy["allow_origin_string_match"] == [{"exact": "https://shop.example"}]


def test_every_cluster_that_a_route_names_exists(rendered):
    """Envoy would refuse it at the start; we know it here."""
    clusters = {cluster["name"] for cluster in rendered["static_resources"]["clusters"]}
    routed = {route["route"]["cluster"] for route in _routes(rendered).values()}
    assert routed <= clusters


def test_rendering_is_pure(source, make_settings):
    """The same contracts and settings give the same text."""
    first = render.text(render.render(source, make_settings()))
    assert first == render.text(render.render(source, make_settings()))


def test_written_file_reads_back_as_rendered(rendered, tmp_path):
    """YAML changes nothing, the Lua program included, and leaves no draft behind."""
    path = tmp_path / "envoy.yaml"
    path.write_text("old")
    render.write(rendered, path)
    assert yaml.safe_load(path.read_text()) == rendered
    assert [each.name for each in tmp_path.iterdir()] == ["envoy.yaml"]


@given(st.integers(1, 10**12).map(lambda nanos: nanos / 10**9))
def test_durations_keep_their_value(seconds):
    """What protobuf's JSON reads back is what went in."""
    text = typed.seconds(seconds)
    assert text.endswith("s")
    assert float(text[:-1]) == pytest.approx(seconds, abs=1e-9)
