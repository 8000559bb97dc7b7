-- Receipts are found again by what the paper says of the till and the number, too; NULL for purchases recorded before it was kept.
ALTER TABLE purchases
    ADD COLUMN till_id TEXT,
    ADD COLUMN receipt_number TEXT;
