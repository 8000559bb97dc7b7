-- What stays costs at least what it cost on the receipt: a line keeps its part of the discounts, what
-- comes back of them is rounded down. Where that is dearer than the price of the rest, it counts.

CREATE TABLE kept AS
SELECT
    b.basket_id, b.line_id, coalesce(l.amount, 0) AS amount, b.remains AS cost,
    b.paid_with_points AS points,
    least(coalesce(l.amount, 0), b.remains - b.remains * gone // p.thousandths) AS kept_cost,
    b.paid_with_points - b.paid_with_points * gone // p.thousandths AS kept_points
FROM (
    SELECT x.*, coalesce(r.quantity_thousandths, 0) AS gone
    FROM bought.lines AS x
    SEMI JOIN returns USING (basket_id)
    LEFT JOIN returns AS r USING (basket_id, line_id)
) AS b
JOIN parts AS p USING (basket_id, line_id)
LEFT JOIN lines AS l USING (basket_id, line_id);

CREATE TABLE dearer AS
SELECT k.basket_id
FROM (SELECT basket_id, sum(kept_cost) AS cost FROM kept GROUP BY basket_id) AS k
JOIN (SELECT basket_id, sum(remains) AS cost FROM lines GROUP BY basket_id) AS l USING (basket_id)
WHERE k.cost > l.cost;

UPDATE lines SET remains = k.kept_cost
FROM kept AS k
WHERE k.basket_id = lines.basket_id AND k.line_id = lines.line_id
  AND lines.basket_id IN (FROM dearer);

-- What is owed goes back the way it was paid, in the proportion of the goods that came back.
CREATE TABLE refunds AS
WITH shares AS (
    SELECT basket_id, sum(cost) AS cost, sum(cost - kept_cost) AS cost_back,
           sum(points - kept_points) AS points_back
    FROM kept
    GROUP BY basket_id
), owed AS (
    SELECT s.*, s.cost - coalesce(l.remains, 0) AS owed, l.remains IS NULL AS complete
    FROM shares AS s
    LEFT JOIN (SELECT basket_id, sum(remains) AS remains FROM lines GROUP BY basket_id) AS l
        USING (basket_id)
)
SELECT
    basket_id, complete, owed,
    CASE
        WHEN complete THEN p.amount
        WHEN cost_back = 0 THEN 0
        ELSE owed * points_back // cost_back
    END AS restored
FROM owed JOIN bought.payments AS p USING (basket_id);

CREATE TABLE payments AS
SELECT r.basket_id, p.amount - r.restored AS amount
FROM refunds AS r JOIN bought.payments AS p USING (basket_id)
WHERE NOT r.complete;
