-- The keys that codes are drawn and hashed with, numbered as they came; the one there was is the first.
CREATE TABLE code_keys (
    key_number SMALLINT NOT NULL,
    check_value BYTEA NOT NULL,
    CONSTRAINT code_keys_pkey PRIMARY KEY (key_number),
    CONSTRAINT code_keys_check_value_key UNIQUE (check_value),
    CONSTRAINT code_keys_numbered CHECK (key_number > 0)
);
INSERT INTO code_keys (key_number, check_value) SELECT 1, check_value FROM code_key_checks;
ALTER TABLE gift_card_issues ADD COLUMN key_number SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE coupon_series ADD COLUMN key_number SMALLINT NOT NULL DEFAULT 1;
GRANT SELECT, INSERT ON code_keys TO ledger;
