-- What format 9 adds to format 8 for erasure and legal holds; see `stead_ports::erasure`.

-- What must stay. A row is changed once at most, when it is released; and the name in one that was goes with its person's texts.
CREATE TABLE legal_holds (
    id BLOB PRIMARY KEY,
    tenant TEXT NOT NULL,
    what TEXT NOT NULL,
    name TEXT NOT NULL,
    placed_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    released_by TEXT,
    released_at INTEGER
) STRICT;
CREATE INDEX legal_holds_tenant ON legal_holds (tenant, released_at);

-- Whose texts were to go. `subject` is a keyed digest, `runs` the ids of runs one behind another; one that is
-- `proposed` waits for a second person; `certificate` is there when all is done.
CREATE TABLE erasures (
    id BLOB PRIMARY KEY,
    tenant TEXT NOT NULL,
    subject BLOB NOT NULL,
    asked_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    runs BLOB NOT NULL,
    proposed INTEGER NOT NULL,
    confirmed_by TEXT,
    certificate TEXT
) STRICT;

-- Blobs that erased texts named, until it is known whether others name them.
CREATE TABLE erasure_blobs (
    erasure BLOB NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (erasure, id)
) STRICT, WITHOUT ROWID;

-- Snapshots of session sandboxes, by whom they were taken: no fact names their trees.
CREATE TABLE kept_trees (
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    tree BLOB NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (tenant, owner, tree)
) STRICT, WITHOUT ROWID;
