-- The coupons that counted, without the code for everybody where less than $30 are left.

CREATE TABLE lane_start AS
SELECT basket_id, sum(remains) AS spent FROM lines GROUP BY basket_id;

CREATE TABLE presented AS
SELECT p.*
FROM bought.presented AS p
SEMI JOIN bought.gives USING (basket_id, campaign)
JOIN lane_start AS l USING (basket_id)
WHERE p.campaign <> 'thanks' OR l.spent >= 3000;
