-- What format 4 adds to format 3.

-- Policy sets, each under its tenant's next epoch. A row changes once at most: when a second person confirms it.
CREATE TABLE policies (
    tenant TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    applied_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    proposed INTEGER NOT NULL,
    rollback_to INTEGER,
    confirmed_by TEXT,
    confirmed_at INTEGER,
    PRIMARY KEY (tenant, epoch)
) STRICT;
CREATE INDEX policies_applied ON policies (tenant, epoch) WHERE proposed = 0 OR confirmed_by IS NOT NULL;
