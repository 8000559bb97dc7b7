-- Who did what, corrections and settlements are evidence as well. Blocks say what they cover: an older
-- version that chains meanwhile covers less, and the first newer block makes up for it.
ALTER TABLE journal_blocks
    ADD COLUMN format SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE account_acts
    ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE adjustments
    ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE adjustment_acts
    ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE adjustment_limit_acts
    ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE settlement_rates
    ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE settlement_periods
    ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE settlement_positions
    ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
ALTER TABLE settlement_debts
    ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::TEXT::BIGINT);
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
