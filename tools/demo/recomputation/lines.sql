-- The lines, and where the steps that follow write what each campaign gives on them.
-- `place` is the order in which a cent that cannot be divided looks for its line.

CREATE TABLE lines AS
SELECT
    q.basket_id, q.line_id, q.product_id, q.thousandths,
    row_number() OVER (
        PARTITION BY q.basket_id ORDER BY CAST(q.product_id AS VARCHAR), q.price
    ) AS place,
    amount_of(q.thousandths, q.price) AS amount,
    amount_of(q.thousandths, q.price) AS remains,
    CAST(0 AS BIGINT) AS paid_with_points,
    a.department, a.product_category, a.brand,
    coalesce(a.is_alcohol, false) AS is_alcohol,
    NOT coalesce(a.is_fuel OR a.is_tobacco OR a.is_alcohol, false) AS in_basket_offers,
    NOT coalesce(a.is_fuel OR a.is_tobacco OR a.is_no_goods, false) AS earns,
    NOT coalesce(a.is_tobacco OR a.is_alcohol OR a.is_no_goods, false) AS payable
FROM quantities AS q LEFT JOIN articles AS a USING (product_id);

CREATE TABLE gives (basket_id BIGINT, line_id VARCHAR, campaign VARCHAR, discount BIGINT);

-- What the present step gives, before it comes off the lines.
CREATE TABLE step (basket_id BIGINT, line_id VARCHAR, campaign VARCHAR, discount BIGINT);

-- An amount divided in proportion to weights: whole cents first, then one cent each by the largest
-- remainder, the larger weight, the earlier place. `asked` is filled anew for every use.
CREATE TABLE asked (
    basket_id BIGINT, line_id VARCHAR, place BIGINT, weight BIGINT, total BIGINT
);
CREATE VIEW divided AS
WITH sums AS (
    SELECT *, sum(weight) OVER (PARTITION BY basket_id) AS whole FROM asked WHERE weight > 0
), floors AS (
    SELECT *, total * weight // whole AS share, total * weight % whole AS remainder FROM sums
)
SELECT
    basket_id, line_id,
    CAST(share + CAST(
        row_number() OVER (
            PARTITION BY basket_id ORDER BY remainder DESC, weight DESC, place
        ) <= total - sum(share) OVER (PARTITION BY basket_id) AS BIGINT
    ) AS BIGINT) AS share
FROM floors;
