-- The coupons that count, in their order. A personal one counts while the household holds it, which
-- `held` tells; the code for everybody comes last, where `drawn` says that a use was left.

CREATE TABLE presented AS
WITH counted AS (
    SELECT basket_id, campaign, amount, place, false AS takes_everything
    FROM coupon_claims
    WHERE NOT personal OR (basket_id, campaign) IN (SELECT (basket_id, campaign) FROM held)
    UNION ALL
    SELECT basket_id, campaign, 500, 1000, true FROM drawn WHERE campaign = 'thanks'
)
SELECT *, row_number() OVER (PARTITION BY basket_id ORDER BY place) AS turn FROM counted;
