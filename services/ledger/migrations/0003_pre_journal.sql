-- Evidence says in which transaction it was written, and blocks chain it by what it says.
ALTER TABLE batches ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE transfers ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE entries ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE lots ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE lot_takes ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE reversals ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE lot_terms ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);

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
CREATE INDEX lot_terms_transaction_index ON lot_terms USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);

CREATE TABLE journal_blocks (
    block_number BIGINT NOT NULL,
    start_transaction BIGINT NOT NULL,
    end_transaction BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    root BYTEA NOT NULL,
    row_index BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT journal_blocks_pkey PRIMARY KEY (block_number),
    CONSTRAINT journal_blocks_number_positive CHECK (block_number > 0),
    CONSTRAINT journal_blocks_span_positive CHECK (end_transaction > start_transaction),
    CONSTRAINT journal_blocks_not_empty CHECK (row_count > 0),
    CONSTRAINT journal_blocks_root_sha256 CHECK (octet_length(root) = 32)
);
GRANT SELECT, INSERT ON journal_blocks TO ledger;

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
GRANT SELECT, INSERT, UPDATE ON tally_audits, audits TO ledger;
