-- Chances of winning at once.

-- What is sealed of campaigns that give chances of winning at once. Never changed.
CREATE TABLE instant_wins (
    campaign_id UUID NOT NULL,
    -- Told a day after the period; whoever has it can tell which receipts win.
    seed BYTEA NOT NULL,
    -- JSON, exactly as it was sealed with the seed.
    terms TEXT NOT NULL,
    seal_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT instant_wins_pkey PRIMARY KEY (campaign_id),
    CONSTRAINT instant_wins_campaign_fkey FOREIGN KEY (campaign_id)
        REFERENCES campaigns (campaign_id),
    -- Whoever tries all seeds needs longer than there is.
    CONSTRAINT instant_wins_seed CHECK (octet_length(seed) = 32)
);

GRANT SELECT, INSERT ON instant_wins TO promotions;
