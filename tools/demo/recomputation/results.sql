-- What everything comes to.

CREATE VIEW final_receipts AS
WITH amounts AS (
    SELECT basket_id, sum(amount) AS amount, sum(remains) AS remains
    FROM bought.lines GROUP BY basket_id
), points AS (
    SELECT basket_id, sum(points) AS points FROM bought.earns GROUP BY basket_id
)
SELECT
    r.basket_id, r.store_id, r.household_id,
    CAST(a.amount AS BIGINT) AS subtotal,
    CAST(a.amount - a.remains AS BIGINT) AS discount,
    CAST(coalesce(p.points, 0) AS BIGINT) AS earned
FROM receipts AS r
JOIN amounts AS a USING (basket_id)
LEFT JOIN points AS p USING (basket_id);

CREATE VIEW final_refunds AS
WITH earned AS (
    SELECT basket_id, sum(points) AS points FROM bought.earns GROUP BY basket_id
), earned_by_rest AS (
    SELECT basket_id, sum(points) AS points FROM stayed.earns GROUP BY basket_id
), rest AS (
    SELECT basket_id, sum(amount - remains) AS discount FROM stayed.lines GROUP BY basket_id
)
SELECT
    f.basket_id,
    f.complete,
    CAST(f.owed - f.restored AS BIGINT) AS refund,
    CAST(f.restored AS BIGINT) AS restored,
    CAST(greatest(coalesce(e.points, 0) - coalesce(s.points, 0), 0) AS BIGINT) AS clawed_back,
    CAST(coalesce(r.discount, 0) AS BIGINT) AS remaining_discount,
    CAST(coalesce(s.points, 0) AS BIGINT) AS remaining_earned
FROM stayed.refunds AS f
LEFT JOIN earned AS e USING (basket_id)
LEFT JOIN earned_by_rest AS s USING (basket_id)
LEFT JOIN rest AS r USING (basket_id);

-- What the campaigns that may run out would have given if they never did.
CREATE VIEW final_due AS
SELECT basket_id, 'frozen' AS campaign, CAST(sum(desired) AS BIGINT) AS amount
FROM bought.frozen
GROUP BY basket_id
HAVING sum(desired) > 0
UNION ALL
SELECT DISTINCT basket_id, 'thanks', 500
FROM bought.lane_start JOIN codes USING (basket_id)
WHERE code = 'THANKYOU5' AND spent >= 3000;
