-- Files know programs by a name that is the same in every installation.

ALTER TABLE programs ADD COLUMN program_key TEXT;

CREATE UNIQUE INDEX programs_key_idx ON programs (program_key) WHERE state = 'LIVE';
