-- Format 1; format-2.sql goes on from here. Ids are 16 bytes big-endian, so that they sort by time; times are microseconds since 1970 (UTC);
-- usd counts millionths, NULL is "not known".

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT;

CREATE TABLE sessions (
    sid INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    key TEXT,
    active BLOB,
    head BLOB,
    tokens INTEGER NOT NULL DEFAULT 0,
    usd INTEGER DEFAULT 0,
    created INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sessions_key ON sessions (tenant, agent, key) WHERE key IS NOT NULL;
CREATE INDEX sessions_list ON sessions (tenant, id);

CREATE TABLE runs (
    rid INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    sid INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    version BLOB NOT NULL,
    parent BLOB,
    title TEXT NOT NULL,
    idempotency TEXT,
    request BLOB,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    status TEXT NOT NULL,
    wake_at INTEGER,
    turns INTEGER NOT NULL,
    effects INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    usd INTEGER,
    code INTEGER
) STRICT;
CREATE INDEX runs_list ON runs (tenant, status, id);
CREATE INDEX runs_agent ON runs (tenant, agent, id);
CREATE INDEX runs_session ON runs (sid, id);
CREATE INDEX runs_parent ON runs (parent, id) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX runs_idempotency ON runs (tenant, idempotency) WHERE idempotency IS NOT NULL;
CREATE INDEX runs_running ON runs (id) WHERE status = 'running';
CREATE INDEX runs_queued ON runs (sid, id) WHERE status = 'queued';
CREATE INDEX runs_wake ON runs (wake_at, id) WHERE wake_at IS NOT NULL;

-- Records are only ever appended, so the table grows at its end; the index finds those of one run.
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    rid INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    leaf BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX records_run ON records (rid, seq);

-- The receiver of a message need not exist yet: a stop may overtake the start of a child.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    receiver BLOB NOT NULL,
    sender BLOB NOT NULL,
    effect INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX inbox_once ON inbox (receiver, sender, effect);

CREATE TABLE blobs (
    bid INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    codec INTEGER NOT NULL,
    length INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE snapshots (
    run BLOB PRIMARY KEY,
    seq INTEGER NOT NULL,
    leaf BLOB NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE versions (
    vid INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    version BLOB NOT NULL,
    body BLOB NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX versions_one ON versions (tenant, version, agent);
CREATE INDEX versions_list ON versions (tenant, agent, created);

CREATE TABLE live (
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    version BLOB NOT NULL,
    PRIMARY KEY (tenant, agent)
) STRICT;
