-- A program that calls the platform. No store ids mean every store.
CREATE TABLE clients (
    client_id TEXT COLLATE "C" NOT NULL,
    display_name TEXT NOT NULL,
    scopes TEXT[] NOT NULL,
    store_ids TEXT[] NOT NULL,
    state TEXT NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    revoke_time TIMESTAMPTZ,
    CONSTRAINT clients_pkey PRIMARY KEY (client_id),
    CONSTRAINT clients_client_id_spelt CHECK (client_id ~ '^[a-z0-9][a-z0-9.-]{2,63}$'),
    CONSTRAINT clients_state_known CHECK (state IN ('active', 'revoked')),
    CONSTRAINT clients_revoke_time_told CHECK ((state = 'revoked') = (revoke_time IS NOT NULL))
);

-- Several secrets of one client work at once while it moves from one to the next.
CREATE TABLE client_secrets (
    client_id TEXT COLLATE "C" NOT NULL,
    secret_hash BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    expire_time TIMESTAMPTZ,
    CONSTRAINT client_secrets_pkey PRIMARY KEY (client_id, secret_hash),
    CONSTRAINT client_secrets_client_fkey FOREIGN KEY (client_id) REFERENCES clients (client_id),
    CONSTRAINT client_secrets_hash_whole CHECK (octet_length(secret_hash) = 32)
);

-- The keys that sign tokens; the private half is encrypted and erased when the key retires.
CREATE TABLE signing_keys (
    key_id TEXT COLLATE "C" NOT NULL,
    algorithm TEXT NOT NULL,
    public_jwk JSONB NOT NULL,
    private_key_ciphertext BYTEA,
    publish_time TIMESTAMPTZ NOT NULL,
    sign_time TIMESTAMPTZ NOT NULL,
    retire_time TIMESTAMPTZ,
    CONSTRAINT signing_keys_pkey PRIMARY KEY (key_id),
    -- At any instant one key signs, and everybody agrees which.
    CONSTRAINT signing_keys_sign_time_key UNIQUE (sign_time),
    CONSTRAINT signing_keys_algorithm_known CHECK (algorithm IN ('ES256')),
    CONSTRAINT signing_keys_published_first CHECK (publish_time <= sign_time),
    CONSTRAINT signing_keys_retired_erased
        CHECK ((retire_time IS NULL) = (private_key_ciphertext IS NOT NULL))
);

-- One row that proves the master key: with another one nobody would be found and nothing opened.
CREATE TABLE master_key_checks (
    singleton BOOLEAN NOT NULL,
    check_value BYTEA NOT NULL,
    CONSTRAINT master_key_checks_pkey PRIMARY KEY (singleton),
    CONSTRAINT master_key_checks_single CHECK (singleton)
);

GRANT SELECT, INSERT, UPDATE ON clients TO identity;
GRANT SELECT, INSERT, UPDATE (expire_time) ON client_secrets TO identity;
GRANT SELECT, INSERT, UPDATE (private_key_ciphertext, retire_time) ON signing_keys TO identity;
GRANT SELECT, INSERT ON master_key_checks TO identity;
