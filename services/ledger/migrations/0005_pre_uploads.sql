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
