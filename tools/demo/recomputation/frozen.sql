-- Weekend: 15% off frozen food, as long as the budget lasts. What a receipt still found of the budget
-- depends on who was first, so `drawn` tells how much that was; less than everything serves the lines
-- in order. Elsewhere the proof asks that no receipt drew more than its due, nor all the budget.

CREATE TABLE frozen AS
SELECT l.basket_id, l.line_id, l.place, (l.remains * 15 + 50) // 100 AS desired
FROM lines AS l
SEMI JOIN (FROM allowed WHERE campaign = 'frozen') USING (basket_id)
SEMI JOIN (FROM receipts WHERE weekday IN (6, 7)) USING (basket_id)
WHERE l.department = 'GROCERY'
  AND l.product_category IN (
      'FROZEN PIZZA', 'FRZN MEAT/MEAT DINNERS', 'FRZN VEGETABLE/VEG DSH', 'ICE CREAM/MILK/SHERBTS'
  );

INSERT INTO step
WITH in_order AS (
    SELECT f.*, d.amount AS drawn,
           sum(desired) OVER (PARTITION BY f.basket_id ORDER BY place) - desired AS before
    FROM frozen AS f
    JOIN drawn AS d ON d.basket_id = f.basket_id AND d.campaign = 'frozen'
)
SELECT basket_id, line_id, 'frozen', greatest(0, least(desired, drawn - before)) FROM in_order;
