-- What the tills sold, from the files of the data set and the tills' day books alone.

CREATE TABLE articles AS
SELECT
    product_id,
    department,
    product_category,
    brand,
    coalesce(product_type = 'GASOLINE-REG UNLEADED', false) AS is_fuel,
    coalesce(product_category IN ('CIGARETTES', 'CIGARS', 'TOBACCO OTHER'), false) AS is_tobacco,
    coalesce(
        product_category IN ('BEERS/ALES', 'DOMESTIC WINE', 'IMPORTED WINE', 'MISC WINE', 'LIQUOR'),
        false
    ) AS is_alcohol,
    department IN ('COUPON', 'POSTAL CENTER', 'CHARITABLE CONT') AS is_no_goods
FROM products;

-- The shelf amount in cents. Fuel is counted in thousandths of a gallon, when it is over a hundred.
CREATE TABLE sold AS
SELECT
    t.basket_id,
    t.product_id,
    row_number() OVER (PARTITION BY t.basket_id ORDER BY t.product_id) AS number,
    CAST(round((t.sales_value + t.retail_disc + t.coupon_match_disc) * 100) AS BIGINT) AS amount,
    CASE
        WHEN coalesce(a.is_fuel, false) AND t.quantity > 100 THEN t.quantity
        ELSE greatest(t.quantity, 1) * 1000
    END AS thousandths
FROM transactions AS t
SEMI JOIN sales USING (basket_id)
LEFT JOIN articles AS a USING (product_id);

-- Two parts, one cent apart in price, where the amount is no multiple of the quantity.
CREATE TABLE parts AS
WITH priced AS (
    SELECT *, amount * 1000 // thousandths AS price, amount * 1000 % thousandths AS dearer
    FROM sold
    WHERE amount > 0
), whole_or_not AS (
    SELECT *, dearer * (price + 1) % 1000 = 500 AS halves FROM priced
), cut AS (
    SELECT
        basket_id, product_id, number,
        CASE WHEN halves THEN amount ELSE price END AS price,
        CASE WHEN halves THEN 1000 ELSE thousandths END AS thousandths,
        CASE WHEN halves THEN 0 ELSE dearer END AS dearer
    FROM whole_or_not
), both_parts AS (
    SELECT basket_id, product_id, CAST(number AS VARCHAR) AS line_id, price,
           thousandths - dearer AS thousandths
    FROM cut
    UNION ALL
    SELECT basket_id, product_id, number || 'b', price + 1, dearer
    FROM cut
)
SELECT * FROM both_parts WHERE (thousandths * price + 500) // 1000 > 0;

CREATE TABLE corner_shops AS
SELECT CAST(t.store_id AS VARCHAR) AS store_id
FROM transactions AS t LEFT JOIN articles AS a USING (product_id)
GROUP BY t.store_id
HAVING count(DISTINCT t.basket_id) <= 100
   AND coalesce(sum(t.sales_value) FILTER (a.is_fuel), 0) < 0.5 * sum(t.sales_value);

CREATE TABLE receipts AS
SELECT
    s.basket_id, s.household_id, s.store_id, s.known, s.channel, s.local_time,
    isodow(s.local_time) AS weekday,
    s.known AND s.household_id IN (
        SELECT household_id FROM demographics WHERE kids_count <> '0'
    ) AS is_family,
    s.known AND s.household_id IN (
        SELECT household_id FROM demographics WHERE age = '65+'
    ) AS is_senior,
    s.store_id IN (SELECT store_id FROM corner_shops) AS in_corner_shop
FROM sales AS s;

CREATE MACRO amount_of(thousandths, price) AS (thousandths * price + 500) // 1000;

-- The purchases of which everything comes back.
CREATE VIEW complete_returns AS
SELECT p.basket_id
FROM parts AS p
SEMI JOIN returns USING (basket_id)
LEFT JOIN returns AS r USING (basket_id, line_id)
GROUP BY p.basket_id
HAVING bool_and(coalesce(r.quantity_thousandths, 0) = p.thousandths);
