-- The step's discounts come off the lines.

UPDATE lines SET remains = remains - s.discount
FROM (SELECT basket_id, line_id, sum(discount) AS discount FROM step GROUP BY ALL) AS s
WHERE s.basket_id = lines.basket_id AND s.line_id = lines.line_id;

INSERT INTO gives SELECT * FROM step WHERE discount > 0;
DELETE FROM step;
