-- The coupons that could count: presented by a household that was sent them, in their weeks, with one
-- of their articles in the cart.

CREATE TABLE lane_start AS
SELECT basket_id, sum(remains) AS spent FROM lines GROUP BY basket_id;

CREATE TABLE coupon_claims AS
SELECT DISTINCT s.basket_id, c.campaign, c.personal, c.amount, c.place
FROM codes AS p
JOIN coupons AS c ON c.code = p.code
JOIN sales AS s ON s.basket_id = p.basket_id
WHERE s.known
  AND list_contains(c.households, s.household_id)
  AND s.local_time >= c.start_time AND s.local_time < c.end_time
  AND EXISTS (
      SELECT 1
      FROM lines AS l JOIN coupon_articles AS a USING (product_id)
      WHERE l.basket_id = s.basket_id AND a.campaign = c.campaign AND l.remains > 0
  );
