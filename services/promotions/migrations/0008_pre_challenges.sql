-- Challenges: goals that members reach, and what programs pay for them.

-- Where a member's reward for a goal is. A goal that was lost and reached again is rewarded again.
CREATE TABLE member_goals (
    member_id UUID NOT NULL,
    program_id UUID NOT NULL,
    -- How often it was reached.
    attempt INTEGER NOT NULL,
    -- False when the reward was taken back with the goods.
    rewarded BOOLEAN NOT NULL,
    -- The purchase that reached it last.
    receipt_id UUID NOT NULL,
    change_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT member_goals_pkey PRIMARY KEY (member_id, program_id),
    CONSTRAINT member_goals_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- What is here was reached.
    CONSTRAINT member_goals_attempt CHECK (attempt > 0)
);

-- What programs give and take in the ledger: written with its cause, posted moments later, in order.
CREATE TABLE payouts (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    -- The ledger's batch; it follows from the cause, so that nothing is paid twice.
    batch_id UUID NOT NULL,
    program_id UUID NOT NULL,
    state TEXT NOT NULL,
    -- tessera.ledger.v1.Batch.
    batch BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT payouts_pkey PRIMARY KEY (batch_id),
    CONSTRAINT payouts_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- The ledger has the last word.
    CONSTRAINT payouts_state CHECK (state IN ('PENDING', 'POSTED', 'REFUSED'))
);

CREATE INDEX payouts_pending_idx ON payouts (sequence) WHERE state = 'PENDING';

GRANT SELECT, INSERT, UPDATE ON member_goals, payouts TO promotions;
