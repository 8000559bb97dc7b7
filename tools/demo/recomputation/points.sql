-- Points pay a part of the goods they may pay for, in proportion; what money pays for the rest of
-- the goods earns. One point is one cent.

DELETE FROM asked;
INSERT INTO asked
SELECT basket_id, line_id, place, remains,
       least(p.amount, sum(remains) OVER (PARTITION BY basket_id))
FROM lines JOIN payments AS p USING (basket_id)
WHERE payable AND p.amount > 0;

UPDATE lines SET paid_with_points = d.share
FROM divided AS d
WHERE d.basket_id = lines.basket_id AND d.line_id = lines.line_id;

CREATE TABLE paid AS
SELECT
    r.*,
    l.remains - l.paid_with_points AS money,
    l.thousandths // 1000 AS pieces,
    l.department, l.product_category, l.brand,
    CASE
        WHEN l.is_alcohol THEN 0
        WHEN l.department IN ('PRODUCE', 'SALAD BAR', 'SEAFOOD') THEN 2
        ELSE 1
    END AS factor
FROM lines AS l JOIN receipts AS r USING (basket_id)
WHERE r.known AND l.earns AND l.remains > l.paid_with_points;

CREATE TABLE earns AS
WITH every_campaign AS (
    SELECT basket_id, 'base' AS campaign, sum(money * factor) // 100 AS points
    FROM paid GROUP BY ALL
    UNION ALL
    SELECT basket_id, 'own-label', sum(money) * 2 // 100
    FROM paid WHERE brand = 'Private' GROUP BY ALL
    UNION ALL
    SELECT basket_id, 'happy-hours', sum(money) // 100
    FROM paid WHERE weekday = 2 AND hour(local_time) BETWEEN 16 AND 19 GROUP BY ALL
    UNION ALL
    SELECT basket_id, 'seniors', sum(money) * 3 // 100
    FROM paid WHERE weekday = 3 AND is_senior GROUP BY ALL
    UNION ALL
    SELECT basket_id, 'yogurt', sum(pieces) * 3
    FROM paid WHERE department = 'GROCERY' AND product_category = 'YOGURT' GROUP BY ALL
    UNION ALL
    SELECT basket_id, 'deli', sum(money) // 500 * 10
    FROM paid WHERE department = 'DELI' GROUP BY ALL
    UNION ALL
    SELECT basket_id, 'self-checkout', 2
    FROM paid WHERE channel = 'CHANNEL_SELF_CHECKOUT' GROUP BY ALL
    UNION ALL
    SELECT basket_id, 'corner', sum(money) // 100
    FROM paid WHERE in_corner_shop GROUP BY ALL
)
SELECT basket_id, campaign, CAST(points AS BIGINT) AS points
FROM every_campaign SEMI JOIN allowed USING (basket_id, campaign)
WHERE points > 0;

-- What a member gets once, if this is the purchase that gets it.
CREATE VIEW point_claims AS
SELECT DISTINCT basket_id, 'welcome' AS campaign FROM paid
UNION ALL
SELECT DISTINCT basket_id, 'birthday' FROM paid
WHERE local_time >= getvariable('start_time') + INTERVAL 344 DAY;
