-- A blocked card's account is frozen; nothing is taken aside or counted any more.
ALTER TABLE gift_cards
    ALTER COLUMN block_number SET DEFAULT 0,
    ALTER COLUMN blocked_amount SET DEFAULT 0;
