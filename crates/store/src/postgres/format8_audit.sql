-- What format 8 adds to format 7 for the audit log.

-- What operators did. A row is never changed.
CREATE TABLE audit_acts (
    id bytea PRIMARY KEY,
    at bigint NOT NULL,
    topic text NOT NULL,
    salt bytea NOT NULL,
    body bytea NOT NULL
);

-- What is in no log yet: records, and acts, which have no `seq`. Rows are taken away as they are seen, never by a number up to which all
-- would be: a transaction with a lower one may commit later.
CREATE TABLE audit_queue (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bytea NOT NULL,
    seq bigint
);
-- A long journal takes as long as it takes.
SET LOCAL statement_timeout = 0;
INSERT INTO audit_queue (id, seq) SELECT run, seq FROM records ORDER BY run, seq;

-- Logs: one of each tenant, and that of the operators, whose name is empty. `note` is the signed checkpoint of `size` leaves with `root`,
-- `cosigned` the last one that witnesses have signed.
CREATE TABLE audit_logs (
    lid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL UNIQUE,
    size bigint NOT NULL,
    root bytea NOT NULL,
    note text NOT NULL,
    at bigint NOT NULL,
    unread bigint NOT NULL,
    cosigned text
);

-- Tiles of hashes by level, and with level 255 those of leaves, packed.
CREATE TABLE audit_tiles (
    lid bigint NOT NULL,
    level smallint NOT NULL,
    n bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (lid, level, n)
);
ALTER TABLE audit_tiles ALTER COLUMN body SET STORAGE EXTERNAL;

-- Where records of runs are: the leaves of the record `seq` and of those after it.
CREATE TABLE audit_spans (
    run bytea NOT NULL,
    seq bigint NOT NULL,
    indexes bytea NOT NULL,
    PRIMARY KEY (run, seq)
);
