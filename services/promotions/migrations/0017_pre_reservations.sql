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
    CONSTRAINT reservations_pkey PRIMARY KEY (reservation_id),
    CONSTRAINT reservations_request_id_key UNIQUE (request_id),
    -- Whatever is held is given back.
    CONSTRAINT reservations_expire_time CHECK (expire_time > create_time)
);

CREATE INDEX reservations_expire_idx ON reservations (expire_time);

GRANT SELECT, INSERT, DELETE ON reservations TO promotions;
