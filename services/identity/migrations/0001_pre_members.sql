-- A person who takes part in the program. What tells who it is lies encrypted under a key of its own:
-- forgetting wrapped_key forgets the person.
CREATE TABLE members (
    member_id UUID NOT NULL,
    state TEXT NOT NULL,
    wrapped_key BYTEA,
    display_name_ciphertext BYTEA,
    birth_date_ciphertext BYTEA,
    language_code TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    register_store_id TEXT NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT members_pkey PRIMARY KEY (member_id),
    CONSTRAINT members_state_known CHECK (state IN ('active', 'blocked')),
    -- Nothing stays behind that nobody can read any more.
    CONSTRAINT members_forgotten_whole CHECK (
        wrapped_key IS NOT NULL
        OR (display_name_ciphertext IS NULL AND birth_date_ciphertext IS NULL)
    )
);

-- Where a member can be reached. blind_index is a keyed hash: it finds the contact and tells nothing.
CREATE TABLE contacts (
    member_id UUID NOT NULL,
    kind TEXT NOT NULL,
    blind_index BYTEA NOT NULL,
    address_ciphertext BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT contacts_pkey PRIMARY KEY (member_id, kind),
    CONSTRAINT contacts_member_fkey FOREIGN KEY (member_id) REFERENCES members (member_id),
    CONSTRAINT contacts_kind_known CHECK (kind IN ('phone', 'email')),
    CONSTRAINT contacts_blind_index_whole CHECK (octet_length(blind_index) = 32)
);
-- One person per phone and per e-mail address; each index has a reason of its own.
CREATE UNIQUE INDEX contacts_phone_key ON contacts (blind_index) WHERE kind = 'phone';
CREATE UNIQUE INDEX contacts_email_key ON contacts (blind_index) WHERE kind = 'email';

CREATE TABLE cards (
    card_id UUID NOT NULL,
    member_id UUID NOT NULL,
    card_number TEXT COLLATE "C" NOT NULL,
    state TEXT NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    block_time TIMESTAMPTZ,
    CONSTRAINT cards_pkey PRIMARY KEY (card_id),
    CONSTRAINT cards_member_fkey FOREIGN KEY (member_id) REFERENCES members (member_id),
    -- A number is given out once, to one person, and never again.
    CONSTRAINT cards_card_number_key UNIQUE (card_number),
    CONSTRAINT cards_card_number_spelt CHECK (card_number ~ '^[0-9A-Z]{4,32}$'),
    CONSTRAINT cards_state_known CHECK (state IN ('active', 'blocked')),
    CONSTRAINT cards_block_time_told CHECK ((state = 'blocked') = (block_time IS NOT NULL))
);
CREATE INDEX cards_member_index ON cards (member_id);

-- A group of members under a name of the retailer's own.
CREATE TABLE segments (
    segment_id TEXT COLLATE "C" NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    update_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT segments_pkey PRIMARY KEY (segment_id)
);

CREATE TABLE segment_members (
    member_id UUID NOT NULL,
    segment_id TEXT COLLATE "C" NOT NULL,
    enter_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT segment_members_pkey PRIMARY KEY (member_id, segment_id),
    CONSTRAINT segment_members_member_fkey FOREIGN KEY (member_id) REFERENCES members (member_id),
    CONSTRAINT segment_members_segment_fkey
        FOREIGN KEY (segment_id) REFERENCES segments (segment_id)
);
CREATE INDEX segment_members_segment_index ON segment_members (segment_id);

-- What promotions told about purchases. A purchase that was undone before it was heard of has no time.
CREATE TABLE purchases (
    receipt_id UUID NOT NULL,
    member_id UUID NOT NULL,
    state TEXT NOT NULL,
    occur_time TIMESTAMPTZ,
    CONSTRAINT purchases_pkey PRIMARY KEY (receipt_id),
    CONSTRAINT purchases_member_fkey FOREIGN KEY (member_id) REFERENCES members (member_id),
    CONSTRAINT purchases_state_known CHECK (state IN ('counted', 'undone')),
    CONSTRAINT purchases_counted_dated CHECK (state = 'undone' OR occur_time IS NOT NULL)
);
CREATE INDEX purchases_counted_index ON purchases (member_id, occur_time) WHERE state = 'counted';

-- The sum of a member's purchases, kept beside them for the checkout.
CREATE TABLE member_activity (
    member_id UUID NOT NULL,
    purchase_count BIGINT NOT NULL,
    last_purchase_time TIMESTAMPTZ,
    CONSTRAINT member_activity_pkey PRIMARY KEY (member_id),
    CONSTRAINT member_activity_member_fkey FOREIGN KEY (member_id) REFERENCES members (member_id),
    CONSTRAINT member_activity_count_positive CHECK (purchase_count >= 0),
    CONSTRAINT member_activity_time_told
        CHECK ((purchase_count > 0) = (last_purchase_time IS NOT NULL))
);

-- Answers kept for ever, so that a request can be repeated. fingerprints holds a keyed hash of every
-- field that was set; the answer is encrypted under the member's key and is forgotten with it.
CREATE TABLE requests (
    client_id TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    member_id UUID NOT NULL,
    fingerprints JSONB NOT NULL,
    answer_ciphertext BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    CONSTRAINT requests_pkey PRIMARY KEY (client_id, method, request_id),
    -- The request is written before what it makes: a repeat must meet it first.
    CONSTRAINT requests_member_fkey FOREIGN KEY (member_id) REFERENCES members (member_id)
        DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX requests_member_index ON requests (member_id);

-- Who did what with power over others. Rows are only ever added.
CREATE TABLE audit_entries (
    audit_id UUID NOT NULL,
    act_time TIMESTAMPTZ NOT NULL,
    client_id TEXT NOT NULL,
    action TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    detail JSONB NOT NULL,
    CONSTRAINT audit_entries_pkey PRIMARY KEY (audit_id),
    CONSTRAINT audit_entries_action_spelt CHECK (action ~ '^[a-z_]+\.[a-z_]+$')
);
CREATE INDEX audit_entries_subject_index ON audit_entries (subject_id, act_time);

-- Events on their way out, written with the facts that they tell.
CREATE TABLE outbox_events (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id UUID NOT NULL,
    payload BYTEA NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT outbox_events_pkey PRIMARY KEY (sequence)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

GRANT SELECT, INSERT, UPDATE ON members TO identity;
GRANT SELECT, INSERT ON contacts TO identity;
GRANT SELECT, INSERT, UPDATE (state, block_time) ON cards TO identity;
GRANT SELECT, INSERT, UPDATE (update_time) ON segments TO identity;
GRANT SELECT, INSERT, DELETE ON segment_members TO identity;
GRANT SELECT, INSERT, UPDATE (state) ON purchases TO identity;
GRANT SELECT, INSERT, UPDATE ON member_activity TO identity;
GRANT SELECT, INSERT ON requests TO identity;
GRANT SELECT, INSERT ON audit_entries TO identity;
GRANT SELECT, INSERT, DELETE ON outbox_events TO identity;
