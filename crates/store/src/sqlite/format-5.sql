-- What format 5 adds to format 4.

-- Keys of tenants, wrapped by the operator's key `wrapper`; at most one of a tenant seals what is written now. Without a row
-- nothing is encrypted.
CREATE TABLE data_keys (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    wrapper BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    current INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX data_keys_current ON data_keys (tenant) WHERE current = 1;
