-- Points that a member gets once: `first_uses` names the purchase.

INSERT INTO earns
SELECT DISTINCT p.basket_id, f.campaign, CASE f.campaign WHEN 'welcome' THEN 500 ELSE 200 END
FROM paid AS p JOIN first_uses AS f USING (basket_id);
