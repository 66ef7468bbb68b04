-- What format 4 adds to format 3.

-- Policy sets, each under its tenant's next epoch. A row changes once at most: when a second person confirms it.
CREATE TABLE policies (
    tenant text NOT NULL,
    epoch bigint NOT NULL,
    digest bytea NOT NULL,
    body bytea NOT NULL,
    applied_by text NOT NULL,
    at bigint NOT NULL,
    proposed bigint NOT NULL,
    rollback_to bigint,
    confirmed_by text,
    confirmed_at bigint,
    PRIMARY KEY (tenant, epoch)
);
CREATE INDEX policies_applied ON policies (tenant, epoch) WHERE proposed = 0 OR confirmed_by IS NOT NULL;
