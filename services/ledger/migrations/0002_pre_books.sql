-- Lots remember who issued them and who brought them, and what their times were before a change.
ALTER TABLE lots
    ADD COLUMN issuer_account_id UUID,
    ADD COLUMN bringer_account_id UUID;

CREATE TABLE lot_terms (
    account_id UUID NOT NULL,
    lot_id UUID NOT NULL,
    until_time TIMESTAMPTZ NOT NULL,
    activate_time TIMESTAMPTZ,
    expire_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT lot_terms_pkey PRIMARY KEY (account_id, lot_id, until_time)
);

CREATE FUNCTION lot_time(lot_id UUID) RETURNS TIMESTAMPTZ
    LANGUAGE SQL IMMUTABLE PARALLEL SAFE
    RETURN to_timestamp(('x' || left(replace(lot_id::TEXT, '-', ''), 12))::BIT(48)::BIGINT / 1000.0);

CREATE FUNCTION version_before(of_account UUID, moment TIMESTAMPTZ) RETURNS BIGINT
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    skew CONSTANT INTERVAL := INTERVAL '1 minute';
    low BIGINT := 0;
    high BIGINT;
    middle BIGINT;
    found RECORD;
BEGIN
    SELECT max(version) INTO high FROM entries WHERE account_id = of_account;
    IF high IS NULL THEN
        RETURN 0;
    END IF;
    WHILE low < high LOOP
        middle := low + (high - low + 1) / 2;
        SELECT version, record_time INTO found
        FROM entries
        WHERE account_id = of_account AND version <= middle
        ORDER BY version DESC
        LIMIT 1;
        IF NOT FOUND THEN
            low := middle;
        ELSIF found.record_time < moment + skew THEN
            low := middle;
        ELSE
            high := found.version - 1;
        END IF;
    END LOOP;
    SELECT version INTO low
    FROM entries
    WHERE account_id = of_account AND version <= high AND record_time < moment
    ORDER BY version DESC
    LIMIT 1;
    RETURN COALESCE(low, 0);
END
$$;

CREATE INDEX accounts_partners_index ON accounts (asset_code, owner_id) WHERE owner_type = 6;

CREATE TABLE settlement_rates (
    asset_code TEXT COLLATE "C" NOT NULL,
    issuer_id TEXT COLLATE "C" NOT NULL,
    acceptor_id TEXT COLLATE "C" NOT NULL,
    effective_time TIMESTAMPTZ NOT NULL,
    value_minor BIGINT NOT NULL,
    units BIGINT NOT NULL,
    currency_code TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT settlement_rates_pkey
        PRIMARY KEY (asset_code, issuer_id, acceptor_id, effective_time),
    CONSTRAINT settlement_rates_positive CHECK (value_minor >= 0 AND units > 0)
);

CREATE TABLE settlement_periods (
    asset_code TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    from_time TIMESTAMPTZ NOT NULL,
    until_time TIMESTAMPTZ NOT NULL,
    currency_code TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    close_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT settlement_periods_pkey PRIMARY KEY (asset_code, number),
    CONSTRAINT settlement_periods_until_once UNIQUE (asset_code, until_time),
    CONSTRAINT settlement_periods_in_order CHECK (until_time > from_time)
);

CREATE TABLE settlement_positions (
    asset_code TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    partner_id TEXT COLLATE "C" NOT NULL,
    account_id UUID NOT NULL,
    after_version BIGINT NOT NULL,
    until_version BIGINT NOT NULL,
    issued BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    CONSTRAINT settlement_positions_pkey PRIMARY KEY (asset_code, number, partner_id),
    CONSTRAINT settlement_positions_in_order CHECK (until_version >= after_version)
);

CREATE TABLE settlement_debts (
    asset_code TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    issuer_id TEXT COLLATE "C" NOT NULL,
    acceptor_id TEXT COLLATE "C" NOT NULL,
    amount BIGINT NOT NULL,
    value_minor BIGINT NOT NULL,
    units BIGINT NOT NULL,
    owed_minor BIGINT NOT NULL,
    CONSTRAINT settlement_debts_pkey PRIMARY KEY (asset_code, number, issuer_id, acceptor_id),
    CONSTRAINT settlement_debts_parties_differ CHECK (issuer_id <> acceptor_id)
);

CREATE TABLE adjustment_limits (
    asset_code TEXT COLLATE "C" NOT NULL,
    operator_id TEXT COLLATE "C" NOT NULL,
    amount_max BIGINT NOT NULL,
    day_amount_max BIGINT NOT NULL,
    set_by TEXT NOT NULL,
    update_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT adjustment_limits_pkey PRIMARY KEY (asset_code, operator_id),
    CONSTRAINT adjustment_limits_in_order CHECK (amount_max BETWEEN 0 AND day_amount_max)
);

CREATE TABLE adjustments (
    adjustment_id UUID NOT NULL,
    request BYTEA NOT NULL,
    asset_code TEXT COLLATE "C" NOT NULL,
    account_id UUID NOT NULL,
    amount BIGINT NOT NULL,
    state SMALLINT NOT NULL,
    refusal TEXT NOT NULL,
    operator_id TEXT COLLATE "C" NOT NULL,
    propose_time TIMESTAMPTZ NOT NULL,
    decide_time TIMESTAMPTZ,
    expire_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT adjustments_pkey PRIMARY KEY (adjustment_id),
    CONSTRAINT adjustments_amount_not_zero CHECK (amount <> 0),
    -- Waiting, and only that, is without a decision.
    CONSTRAINT adjustments_decided CHECK ((state = 1) = (decide_time IS NULL))
);
CREATE INDEX adjustments_time_index ON adjustments (propose_time, adjustment_id);
CREATE INDEX adjustments_account_index ON adjustments (account_id, propose_time, adjustment_id);
CREATE INDEX adjustments_operator_index ON adjustments (operator_id, asset_code, propose_time);
CREATE INDEX adjustments_open_index ON adjustments (adjustment_id) WHERE state IN (1, 2);

CREATE TABLE adjustment_acts (
    adjustment_id UUID NOT NULL,
    number SMALLINT NOT NULL,
    action SMALLINT NOT NULL,
    operator_id TEXT NOT NULL,
    operator_name TEXT NOT NULL,
    note TEXT NOT NULL,
    record_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT adjustment_acts_pkey PRIMARY KEY (adjustment_id, number)
);

CREATE TABLE adjustment_limit_acts (
    asset_code TEXT COLLATE "C" NOT NULL,
    operator_id TEXT COLLATE "C" NOT NULL,
    amount_max BIGINT NOT NULL,
    day_amount_max BIGINT NOT NULL,
    set_by TEXT NOT NULL,
    record_time TIMESTAMPTZ NOT NULL
);

GRANT SELECT, INSERT ON lot_terms, settlement_rates, settlement_periods, settlement_positions,
    settlement_debts, adjustment_acts, adjustment_limit_acts TO ledger;
GRANT SELECT, INSERT, UPDATE ON adjustments, adjustment_limits TO ledger;
