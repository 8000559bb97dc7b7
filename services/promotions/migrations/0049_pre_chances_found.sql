-- Chances of winning at once are listed by campaign without reading every purchase of its period.

ALTER TABLE purchases ADD COLUMN chance_campaign_ids UUID[];

UPDATE purchases
SET chance_campaign_ids = ARRAY(
    SELECT campaign_id FROM instant_wins WHERE campaign_id = ANY(purchases.campaign_ids)
)
WHERE campaign_ids && ARRAY(SELECT campaign_id FROM instant_wins);

CREATE INDEX purchases_chances_idx ON purchases USING gin (chance_campaign_ids)
    WHERE chance_campaign_ids IS NOT NULL;
