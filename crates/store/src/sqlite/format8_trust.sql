-- The directories of approvers: signed entries, in their order. What they say is no matter here.
CREATE TABLE directories (
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    added_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (tenant, seq)
) STRICT;
