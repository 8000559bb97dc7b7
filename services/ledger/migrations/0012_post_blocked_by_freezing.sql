-- What nobody reads any more.
ALTER TABLE gift_cards
    DROP COLUMN block_number,
    DROP COLUMN blocked_amount;
