-- Referrals: members who bring others.

CREATE TABLE referral_codes (
    program_id UUID NOT NULL,
    member_id UUID NOT NULL,
    code TEXT NOT NULL,
    CONSTRAINT referral_codes_pkey PRIMARY KEY (program_id, member_id),
    CONSTRAINT referral_codes_code_key UNIQUE (code),
    CONSTRAINT referral_codes_program_fkey
        FOREIGN KEY (program_id) REFERENCES programs (program_id)
);

-- A person is a newcomer once, whoever brings them and whatever the program.
CREATE TABLE referrals (
    newcomer_id UUID NOT NULL,
    program_id UUID NOT NULL,
    referrer_id UUID NOT NULL,
    state TEXT NOT NULL,
    -- The day of the claim in the program's time zone.
    claim_day DATE NOT NULL,
    -- When time alone changes it: it pays, or it is too late; NULL when neither.
    due_day DATE,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT referrals_pkey PRIMARY KEY (newcomer_id),
    CONSTRAINT referrals_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- The states of the contract.
    CONSTRAINT referrals_state CHECK (state IN ('CLAIMED', 'QUALIFIED', 'REWARDED', 'LAPSED')),
    -- Nobody brings themselves.
    CONSTRAINT referrals_others CHECK (newcomer_id <> referrer_id),
    -- Whatever is open knows when it ends.
    CONSTRAINT referrals_due CHECK (
        (state IN ('CLAIMED', 'QUALIFIED')) = (due_day IS NOT NULL)
    )
);

CREATE INDEX referrals_referrer_idx ON referrals (referrer_id, create_time);
CREATE INDEX referrals_due_idx ON referrals (due_day) WHERE due_day IS NOT NULL;

GRANT SELECT, INSERT ON referral_codes TO promotions;
GRANT SELECT, INSERT, UPDATE ON referrals TO promotions;
