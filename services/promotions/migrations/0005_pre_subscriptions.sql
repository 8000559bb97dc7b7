-- Paid subscriptions to plans.

CREATE TABLE subscriptions (
    subscription_id UUID NOT NULL,
    member_id UUID NOT NULL,
    program_id UUID NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    -- Periods that were paid for.
    period INTEGER NOT NULL,
    -- Where they count from; NULL before the first payment.
    anchor TIMESTAMPTZ,
    -- The end of what is paid for, or of the trial.
    covered_until TIMESTAMPTZ,
    cancel_time TIMESTAMPTZ,
    -- When it was ended at once; NULL when time ends it.
    end_time TIMESTAMPTZ,
    -- When it ends if nothing more happens; NULL for never.
    expire_time TIMESTAMPTZ,
    request_id TEXT NOT NULL,
    -- tessera.promotions.v1.SubscribeRequest, to tell a repeated call from another one.
    request BYTEA NOT NULL,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (subscription_id),
    CONSTRAINT subscriptions_request_id_key UNIQUE (request_id),
    CONSTRAINT subscriptions_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- Whatever was paid for has an end that it counts from.
    CONSTRAINT subscriptions_period CHECK (
        period >= 0 AND (period > 0) = (anchor IS NOT NULL)
        AND (period = 0 OR covered_until IS NOT NULL)
    )
);

CREATE INDEX subscriptions_member_idx ON subscriptions (member_id, subscription_id);
CREATE INDEX subscriptions_due_idx ON subscriptions (covered_until, subscription_id)
    WHERE cancel_time IS NULL AND end_time IS NULL;

-- Every payment that the caller confirmed. Never changed.
CREATE TABLE subscription_payments (
    payment_id TEXT NOT NULL,
    subscription_id UUID NOT NULL,
    period INTEGER NOT NULL,
    amount_minor BIGINT NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT subscription_payments_pkey PRIMARY KEY (payment_id),
    -- Nobody pays twice for a period.
    CONSTRAINT subscription_payments_period_key UNIQUE (subscription_id, period),
    CONSTRAINT subscription_payments_subscription_fkey
        FOREIGN KEY (subscription_id) REFERENCES subscriptions (subscription_id)
);

GRANT SELECT, INSERT, UPDATE ON subscriptions TO promotions;
GRANT SELECT, INSERT ON subscription_payments TO promotions;
