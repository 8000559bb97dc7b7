-- Programs: what members reach by what they buy over time.

-- Lasting promises. Never changed but to end.
CREATE TABLE programs (
    program_id UUID NOT NULL,
    -- Grows over all programs with every change, so that processes see what is new.
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    -- tessera.promotions.v1.ProgramRules.
    rules BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    end_time TIMESTAMPTZ,
    request_id TEXT NOT NULL,
    -- tessera.promotions.v1.CreateProgramRequest, to tell a repeated call from another one.
    request BYTEA NOT NULL,
    CONSTRAINT programs_pkey PRIMARY KEY (program_id),
    CONSTRAINT programs_request_id_key UNIQUE (request_id),
    -- One change has one version.
    CONSTRAINT programs_version_key UNIQUE (version),
    -- The states of the contract.
    CONSTRAINT programs_state CHECK (state IN ('LIVE', 'ENDED')),
    -- Whatever ended knows when.
    CONSTRAINT programs_end CHECK ((state = 'ENDED') = (end_time IS NOT NULL))
);

-- What programs have counted of each purchase, as it is now: returns and voids lower it. Made of
-- receipts, and made of them again at any time.
CREATE TABLE tallies (
    member_id UUID NOT NULL,
    program_id UUID NOT NULL,
    receipt_id UUID NOT NULL,
    -- The day of the purchase in the program's time zone.
    day DATE NOT NULL,
    amount BIGINT NOT NULL,
    CONSTRAINT tallies_pkey PRIMARY KEY (member_id, program_id, receipt_id),
    CONSTRAINT tallies_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- What counts nothing is not here.
    CONSTRAINT tallies_amount CHECK (amount > 0)
);

-- Where members stand in programs of levels; a member without a row was never looked at.
CREATE TABLE standings (
    member_id UUID NOT NULL,
    program_id UUID NOT NULL,
    -- Levels are places in the program's rules, 0 the lowest.
    level SMALLINT NOT NULL,
    -- What the policy of downgrades leaves for a while; NULL for good.
    kept SMALLINT NOT NULL,
    kept_until DATE,
    grace BOOLEAN NOT NULL,
    -- When time alone may change the level; NULL for never.
    review_day DATE,
    CONSTRAINT standings_pkey PRIMARY KEY (member_id, program_id),
    CONSTRAINT standings_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- Nothing lies below the lowest level, and what is kept is there.
    CONSTRAINT standings_level CHECK (kept BETWEEN 0 AND level)
);

CREATE INDEX standings_review_idx ON standings (review_day) WHERE review_day IS NOT NULL;

-- Every step of a member from one level to another. Never changed.
CREATE TABLE tier_changes (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    member_id UUID NOT NULL,
    program_id UUID NOT NULL,
    from_level SMALLINT NOT NULL,
    to_level SMALLINT NOT NULL,
    cause TEXT NOT NULL,
    -- NULL when time was the cause.
    receipt_id UUID,
    change_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT tier_changes_pkey PRIMARY KEY (member_id, sequence),
    CONSTRAINT tier_changes_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- A step leads somewhere else.
    CONSTRAINT tier_changes_step CHECK (from_level <> to_level),
    -- The causes of the contract.
    CONSTRAINT tier_changes_cause CHECK (cause IN ('PURCHASE', 'RETURN', 'TIME', 'START'))
);

GRANT SELECT, INSERT, UPDATE ON programs, standings TO promotions;
GRANT SELECT, INSERT, UPDATE, DELETE ON tallies TO promotions;
GRANT SELECT, INSERT ON tier_changes TO promotions;
