-- What accounts let happen, what their owners owe, and who decided so.
ALTER TABLE assets
    ADD COLUMN accounts_opened_explicitly BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE accounts
    ADD COLUMN state SMALLINT NOT NULL DEFAULT 1,
    ADD COLUMN debt BIGINT NOT NULL DEFAULT 0,
    ADD CONSTRAINT accounts_state_known CHECK (state BETWEEN 1 AND 3),
    ADD CONSTRAINT accounts_debt_not_negative CHECK (debt >= 0);

CREATE TABLE account_acts (
    account_id UUID NOT NULL,
    number BIGINT NOT NULL,
    action SMALLINT NOT NULL,
    operator_id TEXT NOT NULL,
    note TEXT NOT NULL,
    record_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT account_acts_pkey PRIMARY KEY (account_id, number),
    CONSTRAINT account_acts_action_known CHECK (action BETWEEN 1 AND 5)
);
GRANT SELECT, INSERT ON account_acts TO ledger;
