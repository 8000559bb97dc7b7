-- Compensations are adjustments of the ledger: what has become of each, as far as it is known.
ALTER TABLE compensations
    ADD COLUMN state TEXT,
    ADD COLUMN refusal_reason TEXT,
    ADD CONSTRAINT compensations_state CHECK (
        state IN ('PENDING', 'APPROVED', 'POSTED', 'REFUSED', 'REJECTED', 'EXPIRED')
    );
