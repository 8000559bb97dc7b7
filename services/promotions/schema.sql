-- The database of promotions: the catalogue, campaigns and their rule sets, receipts and returns.

-- The catalogue ---------------------------------------------------------------------------------

-- One row that every upsert moves on: its lock puts the versions of changes into commit order, so
-- a process that has seen version n has seen every change up to n.
CREATE TABLE catalogue_clock (
    sole BOOLEAN NOT NULL DEFAULT TRUE,
    version BIGINT NOT NULL,
    CONSTRAINT catalogue_clock_pkey PRIMARY KEY (sole),
    -- There is one clock.
    CONSTRAINT catalogue_clock_sole CHECK (sole),
    -- The clock never runs backwards past its start.
    CONSTRAINT catalogue_clock_version CHECK (version >= 0)
);

INSERT INTO catalogue_clock (version) VALUES (0);

CREATE TABLE categories (
    category_id TEXT NOT NULL,
    -- NULL for a root.
    parent_id TEXT,
    display_name TEXT NOT NULL,
    version BIGINT NOT NULL,
    CONSTRAINT categories_pkey PRIMARY KEY (category_id),
    CONSTRAINT categories_parent_fkey FOREIGN KEY (parent_id) REFERENCES categories (category_id),
    -- Longer cycles are refused by the service, which holds the clock's lock while it looks.
    CONSTRAINT categories_parent_differs CHECK (parent_id <> category_id)
);

CREATE INDEX categories_version_idx ON categories (version);

CREATE TABLE products (
    sku TEXT NOT NULL,
    display_name TEXT NOT NULL,
    -- NULL for an article without category.
    category_id TEXT,
    brand TEXT NOT NULL,
    tags TEXT[] NOT NULL,
    weighed BOOLEAN NOT NULL,
    floor_price_minor BIGINT NOT NULL,
    earning_excluded BOOLEAN NOT NULL,
    points_payment_excluded BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    CONSTRAINT products_pkey PRIMARY KEY (sku),
    CONSTRAINT products_category_fkey
        FOREIGN KEY (category_id) REFERENCES categories (category_id),
    -- A floor below nothing would pay the shopper.
    CONSTRAINT products_floor_price_minor CHECK (floor_price_minor >= 0)
);

CREATE INDEX products_version_idx ON products (version);

CREATE TABLE stores (
    store_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    region_id TEXT NOT NULL,
    format_id TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    currency_code TEXT NOT NULL,
    version BIGINT NOT NULL,
    CONSTRAINT stores_pkey PRIMARY KEY (store_id),
    -- ISO 4217.
    CONSTRAINT stores_currency_code CHECK (currency_code ~ '^[A-Z]{3}$')
);

CREATE INDEX stores_version_idx ON stores (version);

-- Campaigns and rule sets -----------------------------------------------------------------------

-- A campaign and the newest version of its rules.
CREATE TABLE campaigns (
    campaign_id UUID NOT NULL,
    version BIGINT NOT NULL,
    -- Of the newest version. LIVE also while it waits for its period, or is paused.
    state TEXT NOT NULL,
    -- tessera.promotions.v1.CampaignRules.
    rules BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    publish_time TIMESTAMPTZ,
    publish_ruleset_version BIGINT,
    -- The first rule set without it, when it was ended.
    end_ruleset_version BIGINT,
    request_id TEXT NOT NULL,
    -- The request that made it, to tell a repeated call from another one.
    request BYTEA NOT NULL,
    -- The name that people and files gave it.
    campaign_key TEXT,
    -- The version that carts see, unless it is paused; NULL before any went live.
    live_version BIGINT,
    paused BOOLEAN NOT NULL DEFAULT FALSE,
    -- The client that wrote the newest version.
    author_id TEXT NOT NULL DEFAULT '',
    -- The period of the live version; NULL where it is open.
    start_time TIMESTAMPTZ,
    end_time TIMESTAMPTZ,
    -- The live version has parameters: it is in no rule set, what is made of it is.
    is_template BOOLEAN NOT NULL DEFAULT FALSE,
    template_id UUID,
    template_paused BOOLEAN NOT NULL DEFAULT FALSE,
    -- tessera.promotions.v1.StartLocalCampaignRequest, as far as it says where and what.
    local_terms BYTEA,
    CONSTRAINT campaigns_pkey PRIMARY KEY (campaign_id),
    CONSTRAINT campaigns_request_id_key UNIQUE (request_id),
    CONSTRAINT campaigns_template_fkey
        FOREIGN KEY (template_id) REFERENCES campaigns (campaign_id),
    -- Versions count from one.
    CONSTRAINT campaigns_version CHECK (version > 0),
    -- The states of the contract, but for those that the clock and a pause make of LIVE.
    CONSTRAINT campaigns_state
        CHECK (state IN ('DRAFT', 'IN_REVIEW', 'APPROVED', 'LIVE', 'ENDED')),
    -- Whatever was live once knows since when and by which rule set.
    CONSTRAINT campaigns_publication CHECK (
        (publish_time IS NULL) = (publish_ruleset_version IS NULL)
        AND (state NOT IN ('LIVE', 'ENDED') OR publish_time IS NOT NULL)
    ),
    -- Whatever ended knows by which rule set.
    CONSTRAINT campaigns_end CHECK ((state = 'ENDED') = (end_ruleset_version IS NOT NULL)),
    -- What is made of a template knows with which arguments, and nothing is made of it in turn.
    CONSTRAINT campaigns_local CHECK (
        (template_id IS NULL) = (local_terms IS NULL) AND NOT (is_template AND template_id IS NOT NULL)
    )
);

CREATE INDEX campaigns_state_idx ON campaigns (state, campaign_id);

-- An ended campaign leaves its name to the next.
CREATE UNIQUE INDEX campaigns_key_idx ON campaigns (campaign_key) WHERE state <> 'ENDED';

CREATE INDEX campaigns_template_idx ON campaigns (template_id) WHERE template_id IS NOT NULL;

-- The coupon codes of live and paused campaigns, in capitals: no two campaigns share one.
CREATE TABLE campaign_codes (
    code TEXT NOT NULL,
    campaign_id UUID NOT NULL,
    CONSTRAINT campaign_codes_pkey PRIMARY KEY (code),
    CONSTRAINT campaign_codes_campaign_fkey
        FOREIGN KEY (campaign_id) REFERENCES campaigns (campaign_id),
    -- Codes are compared in capitals.
    CONSTRAINT campaign_codes_capitals CHECK (code = upper(code))
);

CREATE INDEX campaign_codes_campaign_idx ON campaign_codes (campaign_id);

-- Every version of every campaign. Never changed: receipts are explained by them.
CREATE TABLE campaign_revisions (
    campaign_id UUID NOT NULL,
    version BIGINT NOT NULL,
    rules BYTEA NOT NULL,
    -- Empty and NULL for versions older than such records.
    author_id TEXT NOT NULL DEFAULT '',
    create_time TIMESTAMPTZ,
    CONSTRAINT campaign_revisions_pkey PRIMARY KEY (campaign_id, version),
    CONSTRAINT campaign_revisions_campaign_fkey
        FOREIGN KEY (campaign_id) REFERENCES campaigns (campaign_id)
);

-- What was done to campaigns, by whom and why. Never changed.
CREATE TABLE campaign_changes (
    change_id BIGINT GENERATED ALWAYS AS IDENTITY,
    campaign_id UUID NOT NULL,
    action TEXT NOT NULL,
    version BIGINT NOT NULL,
    -- The client; `promotions` is the platform itself.
    actor_id TEXT NOT NULL,
    comment TEXT NOT NULL,
    change_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT campaign_changes_pkey PRIMARY KEY (change_id),
    CONSTRAINT campaign_changes_campaign_fkey
        FOREIGN KEY (campaign_id) REFERENCES campaigns (campaign_id),
    -- The actions of the contract.
    CONSTRAINT campaign_changes_action CHECK (
        action IN (
            'CREATED', 'UPDATED', 'SUBMITTED', 'APPROVED', 'REJECTED', 'PUBLISHED', 'PAUSED',
            'RESUMED', 'ENDED'
        )
    )
);

CREATE INDEX campaign_changes_campaign_idx ON campaign_changes (campaign_id, change_id);

-- What was live together. Never changed.
CREATE TABLE rulesets (
    version BIGINT NOT NULL,
    campaign_ids UUID[] NOT NULL,
    campaign_versions BIGINT[] NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT rulesets_pkey PRIMARY KEY (version),
    -- Version 0 is the empty set, which needs no row.
    CONSTRAINT rulesets_version CHECK (version > 0),
    -- Each campaign has its version.
    CONSTRAINT rulesets_campaigns CHECK (cardinality(campaign_ids) = cardinality(campaign_versions))
);

CREATE TABLE coupon_grants (
    request_id TEXT NOT NULL,
    campaign_id UUID NOT NULL,
    -- tessera.promotions.v1.GrantCouponsRequest.
    request BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT coupon_grants_pkey PRIMARY KEY (request_id),
    CONSTRAINT coupon_grants_campaign_fkey
        FOREIGN KEY (campaign_id) REFERENCES campaigns (campaign_id)
);

-- Receipts --------------------------------------------------------------------------------------

-- Every receipt key in use, of purchases and of returns, and how far each has come. Narrow, because
-- every receipt is written here twice, and in one piece, because no index of a partitioned table
-- promises that a key is used once for ever. The id follows from the key.
CREATE TABLE receipts (
    receipt_id UUID NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    -- When the purchase happened by the till's clock: tells where the documents are, also those of
    -- its returns.
    purchase_time TIMESTAMPTZ NOT NULL,
    -- For a return: the purchase, and which of its returns it is, from 1.
    purchase_id UUID,
    return_number INTEGER,
    -- The ledger's batch; NULL when nothing of value moves.
    batch_id UUID,
    -- What each operation of the batch moved; NULL until it is known.
    moved BIGINT[],
    -- The ledger's batch that undoes a purchase, decided before it is posted; once it is voided, with the amounts that could be moved.
    undo_batch BYTEA,
    update_time TIMESTAMPTZ NOT NULL,
    -- True when the till was answered before the ledger: the purchase stays, whatever the ledger says.
    promised BOOLEAN NOT NULL DEFAULT FALSE,
    -- True when what the till did and what we have differ.
    in_conflict BOOLEAN NOT NULL DEFAULT FALSE,
    CONSTRAINT receipts_pkey PRIMARY KEY (receipt_id),
    -- Returns are priced one after the other, each by what those before it left.
    CONSTRAINT receipts_return_key UNIQUE (purchase_id, return_number),
    -- A key stands for one of two things.
    CONSTRAINT receipts_kind CHECK (kind IN ('PURCHASE', 'RETURN')),
    -- PENDING and VOIDING wait for the ledger, and end as COMMITTED (or not at all) and VOIDED.
    CONSTRAINT receipts_state CHECK (
        state IN ('PENDING', 'COMMITTED', 'VOIDING', 'VOIDED', 'RETURNED')
    ),
    -- A return is one of a purchase, and is never undone.
    CONSTRAINT receipts_return CHECK (
        (kind = 'RETURN') = (purchase_id IS NOT NULL)
        AND (kind = 'RETURN') = (return_number IS NOT NULL)
        AND (kind = 'PURCHASE' OR state IN ('PENDING', 'COMMITTED'))
    ),
    -- Only what the ledger posted is more than pending.
    CONSTRAINT receipts_moved CHECK ((state = 'PENDING' OR batch_id IS NULL) = (moved IS NULL)),
    -- What is being voided knows how.
    CONSTRAINT receipts_undo_batch CHECK (state <> 'VOIDING' OR undo_batch IS NOT NULL)
);

CREATE INDEX receipts_unfinished_idx ON receipts (update_time)
    WHERE state IN ('PENDING', 'VOIDING');

CREATE INDEX receipts_conflicts_idx ON receipts (purchase_time, receipt_id) WHERE in_conflict;

-- What was bought, what it got, and why. Changed only when what was promised is delivered; a purchase that the ledger refused is
-- forgotten as a whole.
CREATE TABLE purchases (
    receipt_id UUID NOT NULL,
    -- By the till's clock.
    purchase_time TIMESTAMPTZ NOT NULL,
    -- By ours.
    record_time TIMESTAMPTZ NOT NULL,
    store_id TEXT NOT NULL,
    -- NULL for an unknown shopper.
    member_id UUID,
    ruleset_version BIGINT NOT NULL,
    -- tessera.promotions.v1.CommitRequest with veils instead of secret codes and phones.
    request BYTEA NOT NULL,
    -- What the evaluation knew besides the cart, as JSON.
    facts BYTEA NOT NULL,
    -- tessera.promotions.v1.Evaluation.
    evaluation BYTEA NOT NULL,
    -- tessera.ledger.v1.Batch, decided before it is posted; NULL when nothing of value moves.
    batch BYTEA,
    -- What was to be paid; NULL for purchases recorded before it was kept.
    total_minor BIGINT,
    -- Campaigns that gave something; NULL for purchases recorded before it was kept.
    campaign_ids UUID[],
    -- tessera.promotions.v1.Receipt with nothing but conflicts; NULL without any.
    conflicts BYTEA,
    -- tessera.promotions.v1.RecordReceiptRequest with nothing but its lines, of a till that decided
    -- by itself; NULL when they are those of the evaluation.
    given BYTEA,
    -- What the paper says of the till and the number; NULL for purchases recorded before it was kept.
    till_id TEXT,
    receipt_number TEXT,
    -- Campaigns of which it took chances of winning at once; NULL, which no index holds, for none.
    chance_campaign_ids UUID[],
    -- The phone of a shopper whom identity could not name yet; NULL as soon as it can.
    awaited_phone TEXT,
    CONSTRAINT purchases_pkey PRIMARY KEY (receipt_id, purchase_time)
) PARTITION BY RANGE (purchase_time);

CREATE INDEX purchases_store_idx ON purchases (store_id, purchase_time, receipt_id);
CREATE INDEX purchases_time_idx ON purchases (purchase_time, receipt_id);

CREATE INDEX purchases_chances_idx ON purchases USING gin (chance_campaign_ids)
    WHERE chance_campaign_ids IS NOT NULL;

CREATE INDEX purchases_member_idx ON purchases (member_id, purchase_time)
    WHERE member_id IS NOT NULL;

-- Takes what is older than any month that has a partition of its own.
CREATE TABLE purchases_default PARTITION OF purchases DEFAULT;

-- What came back, in the month of its purchase, so that a month is kept or dropped as a whole.
CREATE TABLE returns (
    receipt_id UUID NOT NULL,
    purchase_time TIMESTAMPTZ NOT NULL,
    -- By the till's clock.
    occurred_time TIMESTAMPTZ NOT NULL,
    -- By ours.
    record_time TIMESTAMPTZ NOT NULL,
    -- Who had bought; NULL for an unknown shopper.
    member_id UUID,
    -- tessera.promotions.v1.ReturnRequest.
    request BYTEA NOT NULL,
    -- tessera.promotions.v1.Return, with the points that are due; the ledger knows what it got.
    document BYTEA NOT NULL,
    -- True when nothing of the purchase stays with the shopper.
    empties BOOLEAN NOT NULL,
    -- tessera.ledger.v1.Batch, decided before it is posted; NULL when nothing of value moves.
    batch BYTEA,
    CONSTRAINT returns_pkey PRIMARY KEY (receipt_id, purchase_time)
) PARTITION BY RANGE (purchase_time);

CREATE TABLE returns_default PARTITION OF returns DEFAULT;

-- Makes the partitions of some months, the month of `first` being the first of them. The service
-- may call it though it may not create tables.
CREATE FUNCTION ensure_month_partitions(first DATE, months INTEGER) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    month DATE;
    parent TEXT;
    part TEXT;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_month_partitions'));
    FOR step IN 0..months - 1 LOOP
        month := (date_trunc('month', first) + make_interval(months => step))::date;
        FOREACH parent IN ARRAY ARRAY['purchases', 'returns'] LOOP
            part := parent || to_char(month, '_YYYY_MM');
            CONTINUE WHEN to_regclass(part) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                part,
                parent,
                to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00',
                to_char(month + INTERVAL '1 month', 'YYYY-MM-DD') || ' 00:00:00+00'
            );
        END LOOP;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION ensure_month_partitions(DATE, INTEGER) FROM PUBLIC;

-- Programs -----------------------------------------------------------------------------------------

-- Lasting promises. Changed only to end, and in later versions.
CREATE TABLE programs (
    program_id UUID NOT NULL,
    -- Grows over all programs with every change, so that processes see what is new.
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    -- tessera.promotions.v1.ProgramRules of the first version.
    rules BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    end_time TIMESTAMPTZ,
    request_id TEXT NOT NULL,
    -- tessera.promotions.v1.CreateProgramRequest, to tell a repeated call from another one.
    request BYTEA NOT NULL,
    -- The name that people and files gave it.
    program_key TEXT,
    CONSTRAINT programs_pkey PRIMARY KEY (program_id),
    CONSTRAINT programs_request_id_key UNIQUE (request_id),
    -- One change has one version.
    CONSTRAINT programs_version_key UNIQUE (version),
    -- The states of the contract.
    CONSTRAINT programs_state CHECK (state IN ('LIVE', 'ENDED')),
    -- Whatever ended knows when.
    CONSTRAINT programs_end CHECK ((state = 'ENDED') = (end_time IS NOT NULL))
);

CREATE UNIQUE INDEX programs_key_idx ON programs (program_key) WHERE state = 'LIVE';

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
    -- The version of the program whose terms these are.
    program_version BIGINT NOT NULL DEFAULT 1,
    CONSTRAINT standings_pkey PRIMARY KEY (member_id, program_id),
    CONSTRAINT standings_program_fkey FOREIGN KEY (program_id) REFERENCES programs (program_id),
    -- Nothing lies below the lowest level, and what is kept is there.
    CONSTRAINT standings_level CHECK (kept BETWEEN 0 AND level)
);

CREATE INDEX standings_review_idx ON standings (review_day) WHERE review_day IS NOT NULL;
CREATE INDEX standings_version_idx ON standings (program_id, program_version);

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
    CONSTRAINT tier_changes_cause CHECK (
        cause IN ('PURCHASE', 'RETURN', 'TIME', 'START', 'TERMS')
    )
);

-- Subscriptions ------------------------------------------------------------------------------------

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
    -- The version of the program that it was subscribed to or last paid for by.
    program_version BIGINT NOT NULL DEFAULT 1,
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

-- What shoppers are about to use, held for them in the ledger.
CREATE TABLE reservations (
    reservation_id UUID NOT NULL,
    request_id TEXT NOT NULL,
    store_id TEXT NOT NULL,
    -- tessera.promotions.v1.ReserveRequest.
    request BYTEA NOT NULL,
    ruleset_version BIGINT NOT NULL,
    -- The facts and the answer of then, as purchases have them.
    facts BYTEA NOT NULL,
    evaluation BYTEA NOT NULL,
    -- tessera.ledger.v1.Batch that places the holds, decided before it is posted; NULL when there is nothing to hold.
    batch BYTEA,
    create_time TIMESTAMPTZ NOT NULL,
    expire_time TIMESTAMPTZ NOT NULL,
    -- The receipt that it is sold with, noted before that is written: it has the reservation if it is there. NULL before.
    receipt_id UUID,
    CONSTRAINT reservations_pkey PRIMARY KEY (reservation_id),
    CONSTRAINT reservations_request_id_key UNIQUE (request_id),
    -- Whatever is held is given back.
    CONSTRAINT reservations_expire_time CHECK (expire_time > create_time)
);

CREATE INDEX reservations_expire_idx ON reservations (expire_time);

-- Points given by hand for a receipt, by adjustments of the ledger. Noted before they are proposed.
CREATE TABLE compensations (
    request_id TEXT NOT NULL,
    receipt_id UUID NOT NULL,
    member_id UUID NOT NULL,
    points BIGINT NOT NULL,
    cause TEXT NOT NULL,
    client_id TEXT NOT NULL,
    batch_id UUID NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    post_time TIMESTAMPTZ,
    -- What has become of the ledger's adjustment, as far as it is known; NULL before it was proposed.
    state TEXT,
    refusal_reason TEXT,
    CONSTRAINT compensations_pkey PRIMARY KEY (request_id),
    -- Nothing is taken in the name of making good.
    CONSTRAINT compensations_points CHECK (points > 0),
    -- The states of the ledger's contract.
    CONSTRAINT compensations_state CHECK (
        state IN ('PENDING', 'APPROVED', 'POSTED', 'REFUSED', 'REJECTED', 'EXPIRED')
    )
);

CREATE INDEX compensations_receipt_idx ON compensations (receipt_id, create_time);

-- Challenges ---------------------------------------------------------------------------------------

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

-- Referrals ----------------------------------------------------------------------------------------

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
    -- The version of the program that it was claimed by.
    program_version BIGINT NOT NULL DEFAULT 1,
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

-- Personal offers ----------------------------------------------------------------------------------

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

-- Prize draws --------------------------------------------------------------------------------------

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

-- Chances of winning at once -----------------------------------------------------------------------

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

-- Events on their way to the stream --------------------------------------------------------------

CREATE TABLE outbox_events (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id UUID NOT NULL,
    payload BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT outbox_events_pkey PRIMARY KEY (sequence)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What the service may do ------------------------------------------------------------------------

GRANT SELECT, INSERT, UPDATE ON catalogue_clock, categories, products, stores TO promotions;
GRANT SELECT, INSERT, UPDATE ON campaigns TO promotions;
GRANT SELECT, INSERT, DELETE ON campaign_codes TO promotions;
-- What receipts are explained by is never changed.
GRANT SELECT, INSERT ON campaign_revisions, campaign_changes, rulesets, coupon_grants TO promotions;
GRANT SELECT, INSERT, UPDATE, DELETE ON receipts TO promotions;
GRANT SELECT, INSERT, UPDATE ON compensations TO promotions;
GRANT SELECT, INSERT, DELETE ON reservations TO promotions;
GRANT UPDATE (receipt_id) ON reservations TO promotions;
-- What the ledger refused is forgotten, and its key is free again.
GRANT SELECT, INSERT, DELETE ON purchases, returns TO promotions;
-- What was promised is delivered.
GRANT UPDATE (member_id, facts, evaluation, batch, conflicts, campaign_ids) ON purchases TO promotions;
GRANT UPDATE (awaited_phone) ON purchases TO promotions;
GRANT SELECT, INSERT, DELETE ON outbox_events TO promotions;
GRANT EXECUTE ON FUNCTION ensure_month_partitions(DATE, INTEGER) TO promotions;
GRANT SELECT, INSERT, UPDATE ON programs, standings TO promotions;
GRANT SELECT, INSERT ON program_revisions, program_changes TO promotions;
GRANT SELECT, INSERT, UPDATE, DELETE ON tallies TO promotions;
GRANT SELECT, INSERT ON tier_changes TO promotions;
GRANT SELECT, INSERT, UPDATE ON subscriptions TO promotions;
GRANT SELECT, INSERT ON subscription_payments TO promotions;
GRANT SELECT, INSERT, UPDATE ON member_goals, payouts TO promotions;
GRANT SELECT, INSERT ON referral_codes TO promotions;
GRANT SELECT, INSERT, UPDATE ON referrals TO promotions;
GRANT SELECT, INSERT, UPDATE, DELETE ON member_offers TO promotions;
GRANT SELECT, INSERT, UPDATE ON draws TO promotions;
GRANT SELECT, INSERT ON draw_entries TO promotions;
GRANT SELECT, INSERT ON instant_wins TO promotions;
