-- What format 3 adds to format 2.

-- Content of workspaces, by its address. `held` is the time until which somebody holds it, whatever leads to it.
CREATE TABLE objects (
    oid INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    held INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    length INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX objects_one ON objects (tenant, id);
