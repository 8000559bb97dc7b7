-- The phone of a shopper whom identity could not name yet; NULL as soon as it can. Requests keep no
-- phones.
ALTER TABLE purchases ADD COLUMN awaited_phone TEXT;
GRANT UPDATE (awaited_phone) ON purchases TO promotions;
