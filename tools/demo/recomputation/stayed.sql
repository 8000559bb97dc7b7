-- What stayed of the receipts that goods came back of. Only what applied to the whole receipt may
-- apply to the rest, and of a budget no more than then.

CREATE TABLE quantities AS
SELECT p.basket_id, p.line_id, p.product_id, p.price,
       p.thousandths - coalesce(r.quantity_thousandths, 0) AS thousandths
FROM parts AS p
SEMI JOIN returns USING (basket_id)
LEFT JOIN returns AS r USING (basket_id, line_id)
WHERE p.thousandths > coalesce(r.quantity_thousandths, 0);

CREATE TABLE allowed AS
SELECT DISTINCT basket_id, campaign FROM bought.gives
UNION
SELECT basket_id, campaign FROM bought.earns;

CREATE TABLE drawn AS
SELECT basket_id, campaign, sum(discount) AS amount
FROM bought.gives
WHERE campaign = 'frozen'
GROUP BY ALL;
