-- Programs change in versions: what each promises, from which day on, and who wrote it why.

-- What programs promise after their first version, which stays with them. Never changed.
CREATE TABLE program_revisions (
    program_id UUID NOT NULL,
    version BIGINT NOT NULL,
    -- tessera.promotions.v1.ProgramRules.
    rules BYTEA NOT NULL,
    -- The first day in the program's time zone. On a day the newest version holds that has begun.
    start_day DATE NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT program_revisions_pkey PRIMARY KEY (program_id, version),
    CONSTRAINT program_revisions_program_fkey
        FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- Version 1 is the program's own row.
    CONSTRAINT program_revisions_version CHECK (version > 1)
);

-- What was done to programs, by whom and why. Never changed.
CREATE TABLE program_changes (
    change_id BIGINT GENERATED ALWAYS AS IDENTITY,
    program_id UUID NOT NULL,
    action TEXT NOT NULL,
    version BIGINT NOT NULL,
    actor_id TEXT NOT NULL,
    comment TEXT NOT NULL,
    change_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT program_changes_pkey PRIMARY KEY (change_id),
    CONSTRAINT program_changes_program_fkey
        FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- The actions of the contract.
    CONSTRAINT program_changes_action CHECK (action IN ('CREATED', 'UPDATED', 'ENDED'))
);

CREATE INDEX program_changes_program_idx ON program_changes (program_id, change_id);

-- The version whose terms somebody has begun with.
ALTER TABLE standings ADD COLUMN program_version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE subscriptions ADD COLUMN program_version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE referrals ADD COLUMN program_version BIGINT NOT NULL DEFAULT 1;

CREATE INDEX standings_version_idx ON standings (program_id, program_version);

ALTER TABLE tier_changes
    DROP CONSTRAINT tier_changes_cause,
    ADD CONSTRAINT tier_changes_cause CHECK (
        cause IN ('PURCHASE', 'RETURN', 'TIME', 'START', 'TERMS')
    );

GRANT SELECT, INSERT ON program_revisions, program_changes TO promotions;
