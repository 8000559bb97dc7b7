-- Holds as they were placed are evidence as well.
ALTER TABLE holds
    ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
CREATE INDEX holds_transaction_index ON holds USING brin (transaction_id)
    WITH (pages_per_range = 16, autosummarize = on);
