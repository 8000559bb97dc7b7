-- A time from microseconds since 1970, which is how sets of rows arrive.
CREATE FUNCTION instant(microseconds BIGINT) RETURNS TIMESTAMPTZ
    LANGUAGE SQL STABLE PARALLEL SAFE
    RETURN TIMESTAMPTZ '1970-01-01 00:00:00+00' + microseconds * INTERVAL '1 microsecond';

-- What is counted. An asset never changes, so every process may keep it in memory for ever.
CREATE TABLE assets (
    asset_code TEXT COLLATE "C" NOT NULL,
    scale SMALLINT NOT NULL,
    floor BIGINT NOT NULL,
    ceiling BIGINT,
    lot_policy JSONB,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT assets_pkey PRIMARY KEY (asset_code),
    CONSTRAINT assets_floor_not_positive CHECK (floor <= 0),
    CONSTRAINT assets_ceiling_not_negative CHECK (ceiling >= 0),
    -- What is not there cannot be a part of a lot.
    CONSTRAINT assets_lots_need_floor_zero CHECK (lot_policy IS NULL OR floor = 0)
);

-- One owner's account of one asset; account_id is a hash of the three. The columns after version sum
-- up the account's lots and hold until next_event_time, the next activation or expiry among them.
-- Accounts of the world (owner_type 1) have a row for their name alone: see tallies.
CREATE TABLE accounts (
    account_id UUID NOT NULL,
    asset_code TEXT COLLATE "C" NOT NULL,
    owner_type SMALLINT NOT NULL,
    owner_id TEXT COLLATE "C" NOT NULL,
    floor BIGINT,
    ceiling BIGINT,
    balance BIGINT NOT NULL,
    version BIGINT NOT NULL,
    pending BIGINT NOT NULL,
    next_event_time TIMESTAMPTZ,
    next_expire_time TIMESTAMPTZ,
    next_expire_amount BIGINT NOT NULL,
    slide_time TIMESTAMPTZ,
    lots_from_time TIMESTAMPTZ,
    CONSTRAINT accounts_pkey PRIMARY KEY (account_id),
    CONSTRAINT accounts_floor_kept CHECK (balance >= floor),
    CONSTRAINT accounts_ceiling_kept CHECK (balance <= ceiling),
    CONSTRAINT accounts_pending_within_balance CHECK (pending = 0 OR pending BETWEEN 0 AND balance),
    -- A writer that decided on another version than it finds writes -1, and thereby nothing at all.
    CONSTRAINT accounts_version_current CHECK (version >= 0),
    CONSTRAINT accounts_world_unkept CHECK (owner_type <> 1 OR (version = 0 AND balance = 0))
) WITH (fillfactor = 70);
-- Only accounts of assets whose lots slide: there, everything expires with the account.
CREATE INDEX accounts_slide_index ON accounts (slide_time) WHERE slide_time IS NOT NULL;

-- What was asked and what was answered, refusals included, for ever.
CREATE TABLE batches (
    batch_id UUID NOT NULL,
    request BYTEA NOT NULL,
    answer BYTEA NOT NULL,
    refused BOOLEAN NOT NULL,
    operation_count SMALLINT NOT NULL,
    receipt_id TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    occurred_time TIMESTAMPTZ NOT NULL,
    record_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT batches_pkey PRIMARY KEY (batch_id),
    CONSTRAINT batches_not_empty CHECK (operation_count > 0)
);

-- Every movement with both its sides: the sum over all accounts is zero because each row adds and
-- takes the same amount. Expiries have operation_index -1 and an id of their own as batch_id.
CREATE TABLE transfers (
    batch_id UUID NOT NULL,
    operation_index SMALLINT NOT NULL,
    debit_account_id UUID NOT NULL,
    credit_account_id UUID NOT NULL,
    amount BIGINT NOT NULL,
    reason SMALLINT NOT NULL,
    campaign_id TEXT NOT NULL,
    occurred_time TIMESTAMPTZ NOT NULL,
    record_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT transfers_pkey PRIMARY KEY (batch_id, operation_index),
    -- 0 where an operation was allowed to move less than it asked for, and found nothing.
    CONSTRAINT transfers_amount_not_negative CHECK (amount >= 0),
    CONSTRAINT transfers_accounts_differ CHECK (debit_account_id <> credit_account_id)
);

-- One side of a movement on an account with a running balance: the account's statement.
CREATE TABLE entries (
    account_id UUID NOT NULL,
    version BIGINT NOT NULL,
    batch_id UUID NOT NULL,
    operation_index SMALLINT NOT NULL,
    amount BIGINT NOT NULL,
    balance_before BIGINT NOT NULL,
    balance_after BIGINT NOT NULL,
    record_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT entries_pkey PRIMARY KEY (account_id, version),
    CONSTRAINT entries_balance_runs CHECK (balance_after = balance_before + amount),
    CONSTRAINT entries_amount_not_zero CHECK (amount <> 0)
);

-- Points credited together, in the order in which they are spent; infinity is never. Lots with
-- nothing left stay: a refund gives them back what they had. remaining is in no index, so that
-- spending rewrites no index.
CREATE TABLE lots (
    account_id UUID NOT NULL,
    expire_time TIMESTAMPTZ NOT NULL,
    lot_id UUID NOT NULL,
    batch_id UUID NOT NULL,
    operation_index SMALLINT NOT NULL,
    amount BIGINT NOT NULL,
    remaining BIGINT NOT NULL,
    activate_time TIMESTAMPTZ,
    expiry_given BOOLEAN NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT lots_pkey PRIMARY KEY (account_id, expire_time, lot_id),
    CONSTRAINT lots_amount_positive CHECK (amount > 0),
    CONSTRAINT lots_remaining_within CHECK (remaining BETWEEN 0 AND amount)
) WITH (fillfactor = 80);
-- For the sweeper. Lots are made about in the order in which they expire, so ranges are narrow.
CREATE INDEX lots_expire_index ON lots USING brin (expire_time)
    WITH (pages_per_range = 32, autosummarize = on);

-- What a movement took from lots, in that order; negative where it gave back.
CREATE TABLE lot_takes (
    batch_id UUID NOT NULL,
    operation_index SMALLINT NOT NULL,
    position SMALLINT NOT NULL,
    account_id UUID NOT NULL,
    lot_id UUID NOT NULL,
    amount BIGINT NOT NULL,
    CONSTRAINT lot_takes_pkey PRIMARY KEY (batch_id, operation_index, position),
    CONSTRAINT lot_takes_amount_not_zero CHECK (amount <> 0)
);

-- Who undid how much of a transfer. The number makes two reversals at the same time collide.
CREATE TABLE reversals (
    batch_id UUID NOT NULL,
    operation_index SMALLINT NOT NULL,
    number INTEGER NOT NULL,
    reversing_batch_id UUID NOT NULL,
    reversing_operation_index SMALLINT NOT NULL,
    amount BIGINT NOT NULL,
    reversed_amount BIGINT NOT NULL,
    transfer_amount BIGINT NOT NULL,
    CONSTRAINT reversals_pkey PRIMARY KEY (batch_id, operation_index, number),
    CONSTRAINT reversals_amount_positive CHECK (amount > 0),
    -- Never more is undone than was moved.
    CONSTRAINT reversals_within_transfer CHECK (reversed_amount BETWEEN amount AND transfer_amount)
);

-- Accounts of the world take part in nearly every movement. Each posting appends what they received,
-- and rows are folded together later: no posting waits for another.
CREATE TABLE tallies (
    account_id UUID NOT NULL,
    amount NUMERIC(38) NOT NULL
);
CREATE INDEX tallies_account_index ON tallies (account_id);

-- How far background work has come.
CREATE TABLE sweeps (
    name TEXT NOT NULL,
    sweep_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT sweeps_pkey PRIMARY KEY (name)
);

CREATE TABLE outbox_events (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id UUID NOT NULL,
    payload BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT outbox_events_pkey PRIMARY KEY (sequence)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Evidence is only ever added to.
GRANT SELECT, INSERT ON assets, batches, transfers, entries, lot_takes, reversals TO ledger;
GRANT SELECT, INSERT, UPDATE ON accounts, lots, sweeps TO ledger;
GRANT SELECT, INSERT, DELETE ON tallies, outbox_events TO ledger;
