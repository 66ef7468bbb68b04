-- What format 8 adds to format 7 for the audit log.

-- What operators did, in its order. A row is never changed.
CREATE TABLE audit_acts (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    topic TEXT NOT NULL,
    salt BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- Logs: one of each tenant, and that of the operators, whose name is empty. `note` is the signed checkpoint of `size` leaves with `root`,
-- `cosigned` the last one that witnesses have signed.
CREATE TABLE audit_logs (
    lid INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    note TEXT NOT NULL,
    at INTEGER NOT NULL,
    unread INTEGER NOT NULL,
    cosigned TEXT
) STRICT;

-- Tiles of hashes by level, and with level 255 those of leaves, packed.
CREATE TABLE audit_tiles (
    lid INTEGER NOT NULL,
    level INTEGER NOT NULL,
    n INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_tiles_one ON audit_tiles (lid, level, n);

-- Where records of runs are: the leaves of the record `seq` and of those after it.
CREATE TABLE audit_spans (
    run BLOB NOT NULL,
    seq INTEGER NOT NULL,
    indexes BLOB NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- Records and acts up to here are in a log. One thread writes, and gives numbers in the order in which it commits: none comes later
-- with a lower one.
INSERT INTO meta VALUES ('audit_records', 0), ('audit_acts', 0);
