-- What a till without a line gave, where we recorded something else: a repeated call is compared
-- with it.
ALTER TABLE purchases ADD COLUMN given BYTEA;
