-- Prize draws.

-- The seed of each draw, chosen before its first ticket, and what was drawn.
CREATE TABLE draws (
    program_id UUID NOT NULL,
    seed BYTEA NOT NULL,
    -- NULL until the draw.
    draw_time TIMESTAMPTZ,
    -- The SHA-256 of the list of tickets, hexadecimal.
    list_hash TEXT,
    CONSTRAINT draws_pkey PRIMARY KEY (program_id),
    CONSTRAINT draws_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- What was drawn was drawn from a list.
    CONSTRAINT draws_drawn CHECK ((draw_time IS NULL) = (list_hash IS NULL)),
    -- Whoever tries all seeds needs longer than there is.
    CONSTRAINT draws_seed CHECK (octet_length(seed) = 32)
);

-- The tickets as they were when it was drawn. Never changed.
CREATE TABLE draw_entries (
    program_id UUID NOT NULL,
    receipt_id UUID NOT NULL,
    member_id UUID NOT NULL,
    tickets BIGINT NOT NULL,
    -- Which prize it won, from 0; NULL for none.
    place INTEGER,
    CONSTRAINT draw_entries_pkey PRIMARY KEY (program_id, receipt_id),
    -- A prize has one winner.
    CONSTRAINT draw_entries_place_key UNIQUE (program_id, place),
    CONSTRAINT draw_entries_draw_fkey FOREIGN KEY (program_id) REFERENCES draws (program_id),
    -- What has no ticket is not here.
    CONSTRAINT draw_entries_tickets CHECK (tickets > 0)
);

GRANT SELECT, INSERT, UPDATE ON draws TO promotions;
GRANT SELECT, INSERT ON draw_entries TO promotions;
