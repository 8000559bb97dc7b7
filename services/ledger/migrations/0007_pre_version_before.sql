-- FOUND is a word of PL/pgSQL: the function that used it for a row never ran.
CREATE OR REPLACE FUNCTION version_before(of_account UUID, moment TIMESTAMPTZ) RETURNS BIGINT
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    skew CONSTANT INTERVAL := INTERVAL '1 minute';
    low BIGINT := 0;
    high BIGINT;
    middle BIGINT;
    entry RECORD;
BEGIN
    SELECT max(version) INTO high FROM entries WHERE account_id = of_account;
    IF high IS NULL THEN
        RETURN 0;
    END IF;
    WHILE low < high LOOP
        middle := low + (high - low + 1) / 2;
        SELECT version, record_time INTO entry
        FROM entries
        WHERE account_id = of_account AND version <= middle
        ORDER BY version DESC
        LIMIT 1;
        IF NOT FOUND THEN
            low := middle;
        ELSIF entry.record_time < moment + skew THEN
            low := middle;
        ELSE
            high := entry.version - 1;
        END IF;
    END LOOP;
    SELECT version INTO low
    FROM entries
    WHERE account_id = of_account AND version <= high AND record_time < moment
    ORDER BY version DESC
    LIMIT 1;
    RETURN COALESCE(low, 0);
END
$$;
