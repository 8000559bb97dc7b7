-- The receipt as a whole, without fuel, tobacco and alcohol: from $50 3% off, from $100 $5 off; the
-- better of the two, and of equals the second.

CREATE TABLE basket_offers AS
WITH spending AS (
    SELECT basket_id, sum(remains) AS spent, sum((remains * 3 + 50) // 100) AS percent
    FROM lines
    WHERE in_basket_offers
    GROUP BY basket_id
), offers AS (
    SELECT basket_id, 'basket-50' AS campaign, percent AS discount FROM spending WHERE spent >= 5000
    UNION ALL
    SELECT basket_id, 'basket-100', 500 FROM spending WHERE spent >= 10000
)
SELECT basket_id, arg_max(campaign, (discount, campaign = 'basket-100')) AS campaign
FROM offers SEMI JOIN allowed USING (basket_id, campaign)
GROUP BY basket_id;

INSERT INTO step
SELECT basket_id, line_id, 'basket-50', (remains * 3 + 50) // 100
FROM lines
SEMI JOIN (FROM basket_offers WHERE campaign = 'basket-50') USING (basket_id)
WHERE in_basket_offers;

DELETE FROM asked;
INSERT INTO asked
SELECT basket_id, line_id, place, remains, 500
FROM lines
SEMI JOIN (FROM basket_offers WHERE campaign = 'basket-100') USING (basket_id)
WHERE in_basket_offers;
INSERT INTO step SELECT basket_id, line_id, 'basket-100', share FROM divided;
