-- Personal offers: goods chosen for a member.

CREATE TABLE member_offers (
    member_id UUID NOT NULL,
    program_id UUID NOT NULL,
    skus TEXT[] NOT NULL,
    start_time TIMESTAMPTZ NOT NULL,
    end_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT member_offers_pkey PRIMARY KEY (member_id, program_id),
    CONSTRAINT member_offers_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- What is offered is offered for a while.
    CONSTRAINT member_offers_window CHECK (start_time < end_time)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON member_offers TO promotions;
