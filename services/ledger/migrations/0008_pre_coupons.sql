-- Codes that are good for the same. Those with numbers below next_number are issued, all but the few
-- whose code belonged to somebody else; of those below revoked_number the uses were taken back.
CREATE TABLE coupon_series (
    series_id UUID NOT NULL,
    campaign_id TEXT NOT NULL,
    asset_code TEXT COLLATE "C" NOT NULL,
    code_count INTEGER NOT NULL,
    uses BIGINT NOT NULL,
    shared_coupon_id UUID,
    next_number INTEGER NOT NULL,
    issued_count INTEGER NOT NULL,
    revoked_number INTEGER NOT NULL,
    revoked_count INTEGER NOT NULL,
    create_time TIMESTAMPTZ NOT NULL,
    revoke_time TIMESTAMPTZ,
    CONSTRAINT coupon_series_pkey PRIMARY KEY (series_id),
    CONSTRAINT coupon_series_shared_is_one CHECK (shared_coupon_id IS NULL OR code_count = 1),
    CONSTRAINT coupon_series_issued CHECK (issued_count BETWEEN 0 AND code_count),
    CONSTRAINT coupon_series_revoked CHECK (
        revoked_number <= next_number AND revoked_count <= issued_count
    ),
    CONSTRAINT coupon_series_revoked_since CHECK (revoke_time IS NOT NULL OR revoked_number = 0)
);

-- coupon_id is a keyed hash of the coupon's code, which is stored nowhere; the uses that are left are
-- its account's business.
CREATE TABLE coupons (
    coupon_id UUID NOT NULL,
    series_id UUID NOT NULL,
    number INTEGER NOT NULL,
    revoke_time TIMESTAMPTZ,
    CONSTRAINT coupons_pkey PRIMARY KEY (coupon_id),
    CONSTRAINT coupons_number_key UNIQUE (series_id, number)
);

GRANT SELECT, INSERT, UPDATE ON coupon_series, coupons TO ledger;
