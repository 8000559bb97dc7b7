-- The key that codes are hashed with stays the one that the first of them was issued under.
CREATE TABLE code_key_checks (
    singleton BOOLEAN NOT NULL,
    check_value BYTEA NOT NULL,
    CONSTRAINT code_key_checks_pkey PRIMARY KEY (singleton),
    CONSTRAINT code_key_checks_one CHECK (singleton)
);

-- Cards that were made together.
CREATE TABLE gift_card_issues (
    request_id TEXT COLLATE "C" NOT NULL,
    asset_code TEXT COLLATE "C" NOT NULL,
    card_count INTEGER NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT gift_card_issues_pkey PRIMARY KEY (request_id),
    CONSTRAINT gift_card_issues_not_empty CHECK (card_count > 0)
);

-- card_id is a keyed hash of the card's code, which is stored nowhere; what the card holds is its
-- account's business. state: 1 issued, 2 active, 3 blocked. block_number counts how often it was
-- blocked, blocked_amount is what the last time took aside.
CREATE TABLE gift_cards (
    card_id UUID NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    asset_code TEXT COLLATE "C" NOT NULL,
    hint TEXT NOT NULL,
    state SMALLINT NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    activate_time TIMESTAMPTZ,
    block_number INTEGER NOT NULL,
    block_time TIMESTAMPTZ,
    blocked_amount BIGINT NOT NULL,
    CONSTRAINT gift_cards_pkey PRIMARY KEY (card_id),
    CONSTRAINT gift_cards_number_key UNIQUE (request_id, number),
    CONSTRAINT gift_cards_state_known CHECK (state BETWEEN 1 AND 3),
    CONSTRAINT gift_cards_active_since CHECK (state <> 2 OR activate_time IS NOT NULL),
    CONSTRAINT gift_cards_blocked_since CHECK ((state = 3) = (block_time IS NOT NULL)),
    CONSTRAINT gift_cards_blocked_amount CHECK (blocked_amount >= 0)
);

GRANT SELECT, INSERT ON code_key_checks, gift_card_issues TO ledger;
GRANT SELECT, INSERT, UPDATE ON gift_cards TO ledger;
