-- One more coupon of each receipt: its `turn`-th of those that `presented` names. It takes its amount
-- off its articles, in proportion to what they still cost.

CREATE OR REPLACE TABLE coupon AS
SELECT l.basket_id, l.line_id, l.place, l.remains, p.campaign,
       least(p.amount, sum(l.remains) OVER (PARTITION BY l.basket_id)) AS total
FROM lines AS l
JOIN presented AS p ON p.basket_id = l.basket_id AND p.turn = getvariable('turn')
WHERE p.takes_everything OR (p.campaign, l.product_id) IN (
    SELECT (campaign, product_id) FROM coupon_articles
);

DELETE FROM asked;
INSERT INTO asked SELECT basket_id, line_id, place, remains, total FROM coupon;
INSERT INTO step
SELECT d.basket_id, d.line_id, c.campaign, d.share
FROM divided AS d JOIN coupon AS c USING (basket_id, line_id);
