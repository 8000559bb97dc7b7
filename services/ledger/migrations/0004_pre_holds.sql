-- What holds keep back: an amount on the giving account, room for it on the receiving one.
ALTER TABLE accounts
    ADD COLUMN held BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN incoming BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN next_hold_time TIMESTAMPTZ,
    ADD CONSTRAINT accounts_held_not_negative CHECK (held >= 0),
    ADD CONSTRAINT accounts_incoming_not_negative CHECK (incoming >= 0),
    ADD CONSTRAINT accounts_held_above_floor CHECK (balance - held >= floor),
    ADD CONSTRAINT accounts_incoming_below_ceiling CHECK (balance + incoming <= ceiling);
ALTER TABLE lots
    ADD COLUMN held BIGINT NOT NULL DEFAULT 0,
    ADD CONSTRAINT lots_held_within CHECK (held BETWEEN 0 AND remaining);

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

GRANT SELECT, INSERT ON holds TO ledger;
GRANT SELECT, INSERT, UPDATE ON reserves TO ledger;
