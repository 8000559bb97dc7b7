-- Campaigns have a name, an author, versions that follow each other while one is live, reviews,
-- pauses, templates with what is made of them, and a history.

ALTER TABLE campaigns
    ADD COLUMN campaign_key TEXT,
    ADD COLUMN live_version BIGINT,
    ADD COLUMN paused BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN author_id TEXT NOT NULL DEFAULT '',
    ADD COLUMN start_time TIMESTAMPTZ,
    ADD COLUMN end_time TIMESTAMPTZ,
    ADD COLUMN is_template BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN template_id UUID,
    ADD COLUMN template_paused BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN local_terms BYTEA;

UPDATE campaigns SET live_version = version WHERE state <> 'DRAFT';

ALTER TABLE campaigns
    DROP CONSTRAINT campaigns_state,
    DROP CONSTRAINT campaigns_publication,
    ADD CONSTRAINT campaigns_template_fkey
        FOREIGN KEY (template_id) REFERENCES campaigns (campaign_id),
    ADD CONSTRAINT campaigns_state
        CHECK (state IN ('DRAFT', 'IN_REVIEW', 'APPROVED', 'LIVE', 'ENDED')),
    ADD CONSTRAINT campaigns_publication CHECK (
        (publish_time IS NULL) = (publish_ruleset_version IS NULL)
        AND (state NOT IN ('LIVE', 'ENDED') OR publish_time IS NOT NULL)
    ),
    ADD CONSTRAINT campaigns_local CHECK (
        (template_id IS NULL) = (local_terms IS NULL) AND NOT (is_template AND template_id IS NOT NULL)
    );

CREATE UNIQUE INDEX campaigns_key_idx ON campaigns (campaign_key) WHERE state <> 'ENDED';

CREATE INDEX campaigns_template_idx ON campaigns (template_id) WHERE template_id IS NOT NULL;

ALTER TABLE campaign_revisions
    ADD COLUMN author_id TEXT NOT NULL DEFAULT '',
    ADD COLUMN create_time TIMESTAMPTZ;

-- From now on every version is kept, not only those that went live.
INSERT INTO campaign_revisions (campaign_id, version, rules)
SELECT campaign_id, version, rules FROM campaigns WHERE state = 'DRAFT';

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

GRANT SELECT, INSERT ON campaign_changes TO promotions;
