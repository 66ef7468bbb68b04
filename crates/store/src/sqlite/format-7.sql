-- What format 7 adds to format 6.

-- What appends add to the counters of policies, in their order. The newest row always stays, so that no number comes twice.
CREATE TABLE counted (
    n INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX counted_tenant ON counted (tenant, n);

-- What is kept of the counters of a tenant. Both can be made anew from the records.
CREATE TABLE counters (
    tenant TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
