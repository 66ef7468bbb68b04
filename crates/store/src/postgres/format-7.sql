-- What format 7 adds to format 6.

-- What appends add to the counters of policies, in their order.
CREATE TABLE counted (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX counted_tenant ON counted (tenant, n);

-- What is kept of the counters of a tenant. Both can be made anew from the records.
CREATE TABLE counters (
    tenant text PRIMARY KEY,
    body bytea NOT NULL
);
