-- What format 9 adds to format 8 for erasure and legal holds; see `stead_ports::erasure`.

-- What must stay. A row is changed once at most, when it is released; and the name in one that was goes with its person's texts.
CREATE TABLE legal_holds (
    id bytea PRIMARY KEY,
    tenant text NOT NULL,
    what text NOT NULL,
    name text NOT NULL,
    placed_by text NOT NULL,
    at bigint NOT NULL,
    reason text NOT NULL,
    released_by text,
    released_at bigint
);
CREATE INDEX legal_holds_tenant ON legal_holds (tenant, released_at);

-- Whose texts were to go. `subject` is a keyed digest, `runs` the ids of runs one behind another; one that is
-- `proposed` waits for a second person; `certificate` is there when all is done.
CREATE TABLE erasures (
    id bytea PRIMARY KEY,
    tenant text NOT NULL,
    subject bytea NOT NULL,
    asked_by text NOT NULL,
    at bigint NOT NULL,
    runs bytea NOT NULL,
    proposed bigint NOT NULL,
    confirmed_by text,
    certificate text
);

-- Blobs that erased texts named, until it is known whether others name them.
CREATE TABLE erasure_blobs (
    erasure bytea NOT NULL,
    id bytea NOT NULL,
    PRIMARY KEY (erasure, id)
);

-- Snapshots of session sandboxes, by whom they were taken: no fact names their trees.
CREATE TABLE kept_trees (
    tenant text NOT NULL,
    owner text NOT NULL,
    tree bytea NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (tenant, owner, tree)
);
