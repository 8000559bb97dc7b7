-- Receipts are found again by what is remembered of them, and made good.

-- What was to be paid; NULL for purchases recorded before it was kept.
ALTER TABLE purchases ADD COLUMN total_minor BIGINT;
-- Campaigns that gave something; NULL for purchases recorded before it was kept.
ALTER TABLE purchases ADD COLUMN campaign_ids UUID[];

CREATE INDEX purchases_store_idx ON purchases (store_id, purchase_time, receipt_id);
CREATE INDEX purchases_time_idx ON purchases (purchase_time, receipt_id);

-- Points given by hand for a receipt. Noted before they are given; what the ledger gave is noted, too.
CREATE TABLE compensations (
    request_id TEXT NOT NULL,
    receipt_id UUID NOT NULL,
    member_id UUID NOT NULL,
    points BIGINT NOT NULL,
    cause TEXT NOT NULL,
    client_id TEXT NOT NULL,
    batch_id UUID NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    post_time TIMESTAMPTZ,
    CONSTRAINT compensations_pkey PRIMARY KEY (request_id),
    -- Nothing is taken in the name of making good.
    CONSTRAINT compensations_points CHECK (points > 0)
);

CREATE INDEX compensations_receipt_idx ON compensations (receipt_id, create_time);

GRANT SELECT, INSERT, UPDATE ON compensations TO promotions;
