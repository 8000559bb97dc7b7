-- Prices of articles: each campaign means other goods, so their order does not matter.

INSERT INTO step
SELECT basket_id, line_id, 'fresh', (amount * 10 + 50) // 100
FROM lines
SEMI JOIN (FROM allowed WHERE campaign = 'fresh') USING (basket_id)
WHERE department = 'PRODUCE';

INSERT INTO step
SELECT basket_id, line_id, 'pizza', least(thousandths // 1000 * 50, amount)
FROM lines
SEMI JOIN (FROM allowed WHERE campaign = 'pizza') USING (basket_id)
WHERE department = 'GROCERY' AND product_category = 'FROZEN PIZZA' AND brand = 'Private';

INSERT INTO step
SELECT basket_id, line_id, 'milk', greatest(0, amount - amount_of(thousandths, 199))
FROM lines
SEMI JOIN (FROM allowed WHERE campaign = 'milk') USING (basket_id)
WHERE product_id IN (1029743, 1106523);

INSERT INTO step
SELECT basket_id, line_id, 'families', (amount * 15 + 50) // 100
FROM lines
SEMI JOIN (FROM allowed WHERE campaign = 'families') USING (basket_id)
SEMI JOIN (FROM receipts WHERE is_family) USING (basket_id)
WHERE department = 'DRUG GM'
  AND product_category IN ('DIAPERS & DISPOSABLES', 'BABY FOODS', 'INFANT FORMULA');
