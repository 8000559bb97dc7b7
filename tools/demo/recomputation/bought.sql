-- The receipts as they were bought: everything may apply.

CREATE TABLE quantities AS SELECT basket_id, line_id, product_id, price, thousandths FROM parts;

CREATE TABLE allowed AS
SELECT r.basket_id, c.campaign
FROM receipts AS r, (
    VALUES ('fresh'), ('pizza'), ('milk'), ('families'), ('frozen'), ('basket-50'), ('basket-100'),
           ('base'), ('own-label'), ('happy-hours'), ('seniors'), ('yogurt'), ('deli'),
           ('self-checkout'), ('corner')
) AS c (campaign);
