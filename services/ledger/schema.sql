-- Everything that the ledger keeps, as it is after all migrations.

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
    accounts_opened_explicitly BOOLEAN NOT NULL DEFAULT FALSE,
    CONSTRAINT assets_pkey PRIMARY KEY (asset_code),
    CONSTRAINT assets_floor_not_positive CHECK (floor <= 0),
    CONSTRAINT assets_ceiling_not_negative CHECK (ceiling >= 0),
    -- What is not there cannot be a part of a lot.
    CONSTRAINT assets_lots_need_floor_zero CHECK (lot_policy IS NULL OR floor = 0)
);

-- One owner's account of one asset; account_id is a hash of the three. The columns after version sum
-- up the account's lots and what holds keep back: held cannot be spent, incoming is room that is
-- promised. They are right until next_event_time, the next activation, expiry or time-out.
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
    held BIGINT NOT NULL DEFAULT 0,
    incoming BIGINT NOT NULL DEFAULT 0,
    next_hold_time TIMESTAMPTZ,
    state SMALLINT NOT NULL DEFAULT 1,
    debt BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT accounts_pkey PRIMARY KEY (account_id),
    CONSTRAINT accounts_floor_kept CHECK (balance >= floor),
    CONSTRAINT accounts_ceiling_kept CHECK (balance <= ceiling),
    CONSTRAINT accounts_pending_within_balance CHECK (pending = 0 OR pending BETWEEN 0 AND balance),
    -- A writer that decided on another version than it finds writes -1, and thereby nothing at all.
    CONSTRAINT accounts_version_current CHECK (version >= 0),
    CONSTRAINT accounts_world_unkept CHECK (owner_type <> 1 OR (version = 0 AND balance = 0)),
    CONSTRAINT accounts_held_not_negative CHECK (held >= 0),
    CONSTRAINT accounts_incoming_not_negative CHECK (incoming >= 0),
    CONSTRAINT accounts_held_above_floor CHECK (balance - held >= floor),
    CONSTRAINT accounts_incoming_below_ceiling CHECK (balance + incoming <= ceiling),
    CONSTRAINT accounts_state_known CHECK (state BETWEEN 1 AND 3),
    CONSTRAINT accounts_debt_not_negative CHECK (debt >= 0)
) WITH (fillfactor = 70);
-- Only accounts of assets whose lots slide: there, everything expires with the account.
CREATE INDEX accounts_slide_index ON accounts (slide_time) WHERE slide_time IS NOT NULL;

-- What was asked and what was answered, refusals included, for ever. Here and below, transaction_id is
-- the transaction that wrote a row: it decides which block of the journal covers it.
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
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
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
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
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
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT entries_pkey PRIMARY KEY (account_id, version),
    CONSTRAINT entries_balance_runs CHECK (balance_after = balance_before + amount),
    CONSTRAINT entries_amount_not_zero CHECK (amount <> 0)
);

-- Points credited together, in the order in which they are spent; infinity is never. Lots with
-- nothing left stay: a refund gives them back what they had. remaining is in no index, so that
-- spending rewrites no index. The issuer is the partner who gave the points out, the bringer the
-- member or household whose account they came from; NULL where there was none.
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
    issuer_account_id UUID,
    bringer_account_id UUID,
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    held BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT lots_pkey PRIMARY KEY (account_id, expire_time, lot_id),
    CONSTRAINT lots_amount_positive CHECK (amount > 0),
    CONSTRAINT lots_remaining_within CHECK (remaining BETWEEN 0 AND amount),
    CONSTRAINT lots_held_within CHECK (held BETWEEN 0 AND remaining)
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
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
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
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT reversals_pkey PRIMARY KEY (batch_id, operation_index, number),
    CONSTRAINT reversals_amount_positive CHECK (amount > 0),
    -- Never more is undone than was moved.
    CONSTRAINT reversals_within_transfer CHECK (reversed_amount BETWEEN amount AND transfer_amount)
);

-- Holds as they were placed.
CREATE TABLE holds (
    batch_id UUID NOT NULL,
    operation_index SMALLINT NOT NULL,
    debit_account_id UUID NOT NULL,
    credit_account_id UUID NOT NULL,
    amount BIGINT NOT NULL,
    reason SMALLINT NOT NULL,
    campaign_id TEXT NOT NULL,
    expire_time TIMESTAMPTZ NOT NULL,
    record_time TIMESTAMPTZ NOT NULL,
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT holds_pkey PRIMARY KEY (batch_id, operation_index),
    -- 0 where a hold was allowed to reserve less than it asked for, and found nothing.
    CONSTRAINT holds_amount_not_negative CHECK (amount >= 0),
    CONSTRAINT holds_accounts_differ CHECK (debit_account_id <> credit_account_id)
);

-- What a hold keeps on one of its accounts, those of the world excepted. remaining can still be
-- captured, or was given back at the end. States: 1 active, 2 captured, 3 voided, 4 timed out.
CREATE TABLE reserves (
    batch_id UUID NOT NULL,
    operation_index SMALLINT NOT NULL,
    account_id UUID NOT NULL,
    is_credit BOOLEAN NOT NULL,
    remaining BIGINT NOT NULL,
    state SMALLINT NOT NULL,
    expire_time TIMESTAMPTZ NOT NULL,
    end_time TIMESTAMPTZ,
    lot_ids UUID[] NOT NULL,
    lot_amounts BIGINT[] NOT NULL,
    CONSTRAINT reserves_pkey PRIMARY KEY (batch_id, operation_index, account_id),
    CONSTRAINT reserves_remaining_not_negative CHECK (remaining >= 0),
    CONSTRAINT reserves_state_known CHECK (state BETWEEN 1 AND 4),
    CONSTRAINT reserves_end_when_ended CHECK ((state = 1) = (end_time IS NULL)),
    CONSTRAINT reserves_lots_paired CHECK (cardinality(lot_ids) = cardinality(lot_amounts))
) WITH (fillfactor = 80);
CREATE INDEX reserves_active_index ON reserves (account_id) WHERE state = 1;
CREATE INDEX reserves_expire_index ON reserves (expire_time) WHERE state = 1;

-- Who opened, froze and closed accounts, and why; the number is the version that it made. State 1 is
-- open, 2 frozen, 3 closed.
CREATE TABLE account_acts (
    account_id UUID NOT NULL,
    number BIGINT NOT NULL,
    action SMALLINT NOT NULL,
    operator_id TEXT NOT NULL,
    note TEXT NOT NULL,
    record_time TIMESTAMPTZ NOT NULL,
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT account_acts_pkey PRIMARY KEY (account_id, number),
    CONSTRAINT account_acts_action_known CHECK (action BETWEEN 1 AND 5)
);
-- Accounts of the world take part in nearly every movement. Each posting appends what they received,
-- and rows are folded together later: no posting waits for another.
CREATE TABLE tallies (
    account_id UUID NOT NULL,
    amount NUMERIC(38) NOT NULL
);
CREATE INDEX tallies_account_index ON tallies (account_id);

-- The integrity chain: each block covers all evidence of the transactions from start_transaction until
-- before end_transaction, where the next block begins; root is a SHA-256 over it and the previous root.
-- row_index remembers a little of every row, to tell which one was touched when a root is wrong.
-- format says which tables count; the default is that of versions that do not name it.
CREATE TABLE journal_blocks (
    block_number BIGINT NOT NULL,
    start_transaction BIGINT NOT NULL,
    end_transaction BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    root BYTEA NOT NULL,
    row_index BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    format SMALLINT NOT NULL DEFAULT 1,
    CONSTRAINT journal_blocks_pkey PRIMARY KEY (block_number),
    CONSTRAINT journal_blocks_number_positive CHECK (block_number > 0),
    CONSTRAINT journal_blocks_span_positive CHECK (end_transaction > start_transaction),
    CONSTRAINT journal_blocks_not_empty CHECK (row_count > 0),
    CONSTRAINT journal_blocks_root_sha256 CHECK (octet_length(root) = 32)
);

-- Rows come in about the order of their transactions, so ranges are narrow.
CREATE INDEX batches_transaction_index ON batches USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX transfers_transaction_index ON transfers USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX entries_transaction_index ON entries USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX lots_transaction_index ON lots USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX lot_takes_transaction_index ON lot_takes USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX reversals_transaction_index ON reversals USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX holds_transaction_index ON holds USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);

-- What accounts of the world received in all transfers of the transactions before end_transaction of the
-- audit `tallies`: the checker need not sum up the whole history to know what tallies should say.
CREATE TABLE tally_audits (
    account_id UUID NOT NULL,
    amount NUMERIC(38) NOT NULL,
    CONSTRAINT tally_audits_pkey PRIMARY KEY (account_id)
);
CREATE TABLE audits (
    audit_name TEXT NOT NULL,
    end_transaction BIGINT NOT NULL,
    CONSTRAINT audits_pkey PRIMARY KEY (audit_name)
);

-- How far background work has come.
CREATE TABLE sweeps (
    name TEXT NOT NULL,
    sweep_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT sweeps_pkey PRIMARY KEY (name)
);

-- What the times of a lot were until they changed: a release starts its clock.
CREATE TABLE lot_terms (
    account_id UUID NOT NULL,
    lot_id UUID NOT NULL,
    until_time TIMESTAMPTZ NOT NULL,
    activate_time TIMESTAMPTZ,
    expire_time TIMESTAMPTZ NOT NULL,
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT lot_terms_pkey PRIMARY KEY (account_id, lot_id, until_time)
);
CREATE INDEX lot_terms_transaction_index ON lot_terms USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);

-- When the points of a lot were earned, to the millisecond: its id is a UUIDv7 of that time.
CREATE FUNCTION lot_time(lot_id UUID) RETURNS TIMESTAMPTZ
    LANGUAGE SQL IMMUTABLE PARALLEL SAFE
    RETURN to_timestamp(('x' || left(replace(lot_id::TEXT, '-', ''), 12))::BIT(48)::BIGINT / 1000.0);

-- The last version of an account that an entry recorded before a moment made; 0 when there is none.
-- Versions grow with time, so it is found by halving and needs no index of its own. Clocks of two
-- processes may differ by up to a minute: inside of that, the latest such entry counts.
CREATE FUNCTION version_before(of_account UUID, moment TIMESTAMPTZ) RETURNS BIGINT
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    skew CONSTANT INTERVAL := INTERVAL '1 minute';
    low BIGINT := 0;
    high BIGINT;
    middle BIGINT;
    entry RECORD;
BEGIN
    SELECT max(version) INTO high FROM entries WHERE account_id = of_account;
    IF high IS NULL THEN
        RETURN 0;
    END IF;
    WHILE low < high LOOP
        middle := low + (high - low + 1) / 2;
        SELECT version, record_time INTO entry
        FROM entries
        WHERE account_id = of_account AND version <= middle
        ORDER BY version DESC
        LIMIT 1;
        IF NOT FOUND THEN
            low := middle;
        ELSIF entry.record_time < moment + skew THEN
            low := middle;
        ELSE
            high := entry.version - 1;
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

-- The companies of a coalition.
CREATE INDEX accounts_partners_index ON accounts (asset_code, owner_id) WHERE owner_type = 6;

-- What a partner owes for its points that another took in: value_minor for each `units` of them. An
-- empty partner stands for all that have no rate of their own.
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
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT settlement_rates_pkey
        PRIMARY KEY (asset_code, issuer_id, acceptor_id, effective_time),
    CONSTRAINT settlement_rates_positive CHECK (value_minor >= 0 AND units > 0)
);

-- Closed periods. One begins where the last has ended, and nothing in it changes any more.
CREATE TABLE settlement_periods (
    asset_code TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    from_time TIMESTAMPTZ NOT NULL,
    until_time TIMESTAMPTZ NOT NULL,
    currency_code TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    close_time TIMESTAMPTZ NOT NULL,
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT settlement_periods_pkey PRIMARY KEY (asset_code, number),
    CONSTRAINT settlement_periods_until_once UNIQUE (asset_code, until_time),
    CONSTRAINT settlement_periods_in_order CHECK (until_time > from_time)
);

-- Which of a partner's entries a period has: those after one version, up to another. What arrives
-- late has a higher version, and is thereby in the next period.
CREATE TABLE settlement_positions (
    asset_code TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    partner_id TEXT COLLATE "C" NOT NULL,
    account_id UUID NOT NULL,
    after_version BIGINT NOT NULL,
    until_version BIGINT NOT NULL,
    issued BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT settlement_positions_pkey PRIMARY KEY (asset_code, number, partner_id),
    CONSTRAINT settlement_positions_in_order CHECK (until_version >= after_version)
);

-- What the issuer owes the acceptor for a period; empty is the operator of the program.
CREATE TABLE settlement_debts (
    asset_code TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    issuer_id TEXT COLLATE "C" NOT NULL,
    acceptor_id TEXT COLLATE "C" NOT NULL,
    amount BIGINT NOT NULL,
    value_minor BIGINT NOT NULL,
    units BIGINT NOT NULL,
    owed_minor BIGINT NOT NULL,
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT settlement_debts_pkey PRIMARY KEY (asset_code, number, issuer_id, acceptor_id),
    CONSTRAINT settlement_debts_parties_differ CHECK (issuer_id <> acceptor_id)
);

-- What an operator may adjust alone, at once and within 24 hours; '' is everybody without own limits.
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

-- Corrections by hand. State 1 waits for a second person, 2 is to be posted, the others are final.
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
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT adjustments_pkey PRIMARY KEY (adjustment_id),
    CONSTRAINT adjustments_amount_not_zero CHECK (amount <> 0),
    -- Waiting, and only that, is without a decision.
    CONSTRAINT adjustments_decided CHECK ((state = 1) = (decide_time IS NULL))
);
CREATE INDEX adjustments_time_index ON adjustments (propose_time, adjustment_id);
CREATE INDEX adjustments_account_index ON adjustments (account_id, propose_time, adjustment_id);
CREATE INDEX adjustments_operator_index ON adjustments (operator_id, asset_code, propose_time);
CREATE INDEX adjustments_open_index ON adjustments (adjustment_id) WHERE state IN (1, 2);

-- Who did what about a correction.
CREATE TABLE adjustment_acts (
    adjustment_id UUID NOT NULL,
    number SMALLINT NOT NULL,
    action SMALLINT NOT NULL,
    operator_id TEXT NOT NULL,
    operator_name TEXT NOT NULL,
    note TEXT NOT NULL,
    record_time TIMESTAMPTZ NOT NULL,
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT),
    CONSTRAINT adjustment_acts_pkey PRIMARY KEY (adjustment_id, number)
);

-- Who gave whom which limits.
CREATE TABLE adjustment_limit_acts (
    asset_code TEXT COLLATE "C" NOT NULL,
    operator_id TEXT COLLATE "C" NOT NULL,
    amount_max BIGINT NOT NULL,
    day_amount_max BIGINT NOT NULL,
    set_by TEXT NOT NULL,
    record_time TIMESTAMPTZ NOT NULL,
    transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT)
);

CREATE INDEX account_acts_transaction_index ON account_acts USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX adjustments_transaction_index ON adjustments USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX adjustment_acts_transaction_index ON adjustment_acts USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX adjustment_limit_acts_transaction_index ON adjustment_limit_acts USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX settlement_rates_transaction_index ON settlement_rates USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX settlement_periods_transaction_index ON settlement_periods USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX settlement_positions_transaction_index ON settlement_positions USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX settlement_debts_transaction_index ON settlement_debts USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);

CREATE TABLE outbox_events (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id UUID NOT NULL,
    payload BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT outbox_events_pkey PRIMARY KEY (sequence)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Evidence is only ever added to.
GRANT SELECT, INSERT ON assets, batches, transfers, entries, lot_takes, reversals, holds,
    account_acts, journal_blocks TO ledger;
GRANT SELECT, INSERT, UPDATE ON accounts, lots, reserves, sweeps, tally_audits, audits
    TO ledger;
GRANT SELECT, INSERT, DELETE ON tallies, outbox_events TO ledger;
GRANT SELECT, INSERT ON lot_terms, settlement_rates, settlement_periods, settlement_positions,
    settlement_debts, adjustment_acts, adjustment_limit_acts TO ledger;
GRANT SELECT, INSERT, UPDATE ON adjustments, adjustment_limits TO ledger;

-- How far uploads are: rows before next_row have their outcome in batches whose ids follow from the
-- upload and the row.
CREATE TABLE uploads (
    upload_id UUID NOT NULL,
    occurred_time TIMESTAMPTZ NOT NULL,
    operator_id TEXT NOT NULL,
    label TEXT NOT NULL,
    next_row BIGINT NOT NULL,
    posted_count BIGINT NOT NULL,
    refused_count BIGINT NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    update_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT uploads_pkey PRIMARY KEY (upload_id),
    -- Every row before next_row was counted, once.
    CONSTRAINT uploads_counted CHECK (
        posted_count >= 0 AND refused_count >= 0 AND posted_count + refused_count = next_row
    )
);

GRANT SELECT, INSERT, UPDATE ON uploads TO ledger;

-- The keys that codes are drawn and hashed with, numbered as they came: not the keys themselves, but
-- what tells one from another.
CREATE TABLE code_keys (
    key_number SMALLINT NOT NULL,
    check_value BYTEA NOT NULL,
    CONSTRAINT code_keys_pkey PRIMARY KEY (key_number),
    CONSTRAINT code_keys_check_value_key UNIQUE (check_value),
    CONSTRAINT code_keys_numbered CHECK (key_number > 0)
);

-- Cards that were made together.
CREATE TABLE gift_card_issues (
    request_id TEXT COLLATE "C" NOT NULL,
    asset_code TEXT COLLATE "C" NOT NULL,
    card_count INTEGER NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    key_number SMALLINT NOT NULL DEFAULT 1,
    CONSTRAINT gift_card_issues_pkey PRIMARY KEY (request_id),
    CONSTRAINT gift_card_issues_not_empty CHECK (card_count > 0)
);

-- card_id is a keyed hash of the card's code, which is stored nowhere; what the card holds is its
-- account's business. state: 1 issued, 2 active, 3 blocked: then its account is frozen.
CREATE TABLE gift_cards (
    card_id UUID NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    asset_code TEXT COLLATE "C" NOT NULL,
    hint TEXT NOT NULL,
    state SMALLINT NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    activate_time TIMESTAMPTZ,
    block_time TIMESTAMPTZ,
    CONSTRAINT gift_cards_pkey PRIMARY KEY (card_id),
    CONSTRAINT gift_cards_number_key UNIQUE (request_id, number),
    CONSTRAINT gift_cards_state_known CHECK (state BETWEEN 1 AND 3),
    CONSTRAINT gift_cards_active_since CHECK (state <> 2 OR activate_time IS NOT NULL),
    CONSTRAINT gift_cards_blocked_since CHECK ((state = 3) = (block_time IS NOT NULL))
);

GRANT SELECT, INSERT ON code_keys, gift_card_issues TO ledger;
GRANT SELECT, INSERT, UPDATE ON gift_cards TO ledger;

-- Codes that are good for the same. Those with numbers below next_number are issued, all but the few
-- whose code belonged to somebody else; of those below revoked_number the uses were taken back.
CREATE TABLE coupon_series (
    series_id UUID NOT NULL,
    campaign_id TEXT NOT NULL,
    asset_code TEXT COLLATE "C" NOT NULL,
    code_count INTEGER NOT NULL,
    uses BIGINT NOT NULL,
    shared_coupon_id UUID,
    next_number INTEGER NOT NULL,
    issued_count INTEGER NOT NULL,
    revoked_number INTEGER NOT NULL,
    revoked_count INTEGER NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    revoke_time TIMESTAMPTZ,
    key_number SMALLINT NOT NULL DEFAULT 1,
    CONSTRAINT coupon_series_pkey PRIMARY KEY (series_id),
    CONSTRAINT coupon_series_shared_is_one CHECK (shared_coupon_id IS NULL OR code_count = 1),
    CONSTRAINT coupon_series_issued CHECK (issued_count BETWEEN 0 AND code_count),
    CONSTRAINT coupon_series_revoked CHECK (
        revoked_number <= next_number AND revoked_count <= issued_count
    ),
    CONSTRAINT coupon_series_revoked_since CHECK (revoke_time IS NOT NULL OR revoked_number = 0)
);

-- coupon_id is a keyed hash of the coupon's code, which is stored nowhere; the uses that are left are
-- its account's business.
CREATE TABLE coupons (
    coupon_id UUID NOT NULL,
    series_id UUID NOT NULL,
    number INTEGER NOT NULL,
    revoke_time TIMESTAMPTZ,
    CONSTRAINT coupons_pkey PRIMARY KEY (coupon_id),
    CONSTRAINT coupons_number_key UNIQUE (series_id, number)
);

GRANT SELECT, INSERT, UPDATE ON coupon_series, coupons TO ledger;
