-- The receipt that a reservation was sold with; NULL while it was not.
ALTER TABLE reservations ADD COLUMN receipt_id UUID;

GRANT UPDATE (receipt_id) ON reservations TO promotions;
