-- Purchases that the till was promised while identity or the ledger was away.

-- True when the till was answered before the ledger: the purchase stays, whatever the ledger says.
ALTER TABLE receipts ADD COLUMN promised BOOLEAN NOT NULL DEFAULT FALSE;
-- True when what the till did and what we have differ.
ALTER TABLE receipts ADD COLUMN in_conflict BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX receipts_conflicts_idx ON receipts (purchase_time, receipt_id) WHERE in_conflict;

-- tessera.promotions.v1.Receipt with nothing but conflicts; NULL without any.
ALTER TABLE purchases ADD COLUMN conflicts BYTEA;
-- What was promised is delivered.
GRANT UPDATE (member_id, facts, evaluation, batch, conflicts, campaign_ids) ON purchases TO promotions;
