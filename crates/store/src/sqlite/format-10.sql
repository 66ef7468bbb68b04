-- What format 10 adds to format 9: the keys of persons under which backups are sealed. No backup has these tables.

-- `subject` is the keyed digest of a person, as erasures have it, or 32 zero bytes for what is nobody's. A key with `until` is for runs that
-- began until then: an erasure of that time destroys it. `wrapper` is the key that wraps `body`, NULL where the store is not encrypted.
CREATE TABLE subject_keys (
    id BLOB PRIMARY KEY,
    tenant TEXT NOT NULL,
    subject BLOB NOT NULL,
    made INTEGER NOT NULL,
    until INTEGER,
    wrapper BLOB,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX subject_keys_current ON subject_keys (tenant, subject) WHERE until IS NULL;

-- Keys that were destroyed, by the erasures that did it. For each such erasure there is also a row with its own id, whether there was a key or not.
CREATE TABLE subject_keys_gone (
    id BLOB PRIMARY KEY,
    erasure BLOB NOT NULL
) STRICT, WITHOUT ROWID;
