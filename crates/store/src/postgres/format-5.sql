-- What format 5 adds to format 4.

-- Keys of tenants, wrapped by the operator's key `wrapper`; at most one of a tenant seals what is written now. Without a row
-- nothing is encrypted.
CREATE TABLE data_keys (
    id bigint PRIMARY KEY,
    tenant text NOT NULL,
    wrapper bytea NOT NULL,
    wrapped bytea NOT NULL,
    current boolean NOT NULL
);
CREATE UNIQUE INDEX data_keys_current ON data_keys (tenant) WHERE current;
