-- Format 1; format-2.sql goes on from here. Ids are 16 bytes big-endian, so that they sort by time; times are microseconds since 1970 (UTC);
-- usd counts millionths, NULL is "not known".

CREATE TABLE meta (
    key text PRIMARY KEY,
    value text NOT NULL
);

-- Who may write to a partition. Holder is NULL when nobody has it; expires_at is this server's time.
CREATE TABLE leases (
    partition smallint PRIMARY KEY,
    holder text,
    epoch bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
INSERT INTO leases SELECT n, NULL, 0, clock_timestamp() FROM generate_series(0, 255) n;

-- Called first in every transaction that appends. Writers share the lock and whoever takes the leases has it alone:
-- so the epochs seen here hold until this transaction ends.
CREATE FUNCTION fence(partitions smallint[], epochs bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('stead'), hashtext(current_schema()));
    IF EXISTS (
        SELECT 1 FROM unnest(partitions, epochs) AS a (partition, epoch)
        LEFT JOIN leases l ON l.partition = a.partition AND l.epoch = a.epoch
        WHERE l.partition IS NULL
    ) THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'ST001';
    END IF;
END
$$;

CREATE TABLE sessions (
    id bytea PRIMARY KEY,
    tenant text NOT NULL,
    agent text NOT NULL,
    key text,
    active bytea,
    head bytea,
    tokens bigint NOT NULL DEFAULT 0,
    usd bigint DEFAULT 0,
    created bigint NOT NULL
);
CREATE UNIQUE INDEX sessions_key ON sessions (tenant, agent, key) WHERE key IS NOT NULL;
CREATE INDEX sessions_list ON sessions (tenant, id);

CREATE TABLE runs (
    id bytea PRIMARY KEY,
    session bytea NOT NULL,
    tenant text NOT NULL,
    agent text NOT NULL,
    version bytea NOT NULL,
    parent bytea,
    title text NOT NULL,
    idempotency text,
    request bytea,
    created bigint NOT NULL,
    updated bigint NOT NULL,
    status text NOT NULL,
    wake_at bigint,
    turns bigint NOT NULL,
    effects bigint NOT NULL,
    tokens bigint NOT NULL,
    usd bigint,
    code integer
) WITH (fillfactor = 80);
CREATE INDEX runs_list ON runs (tenant, status, id);
CREATE INDEX runs_agent ON runs (tenant, agent, id);
CREATE INDEX runs_session ON runs (session, id);
CREATE INDEX runs_parent ON runs (parent, id) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX runs_idempotency ON runs (tenant, idempotency) WHERE idempotency IS NOT NULL;
CREATE INDEX runs_running ON runs (id) WHERE status = 'running';
CREATE INDEX runs_queued ON runs (session, id) WHERE status = 'queued';
CREATE INDEX runs_wake ON runs (wake_at, id) WHERE wake_at IS NOT NULL;

-- Bodies are compressed before they come here.
CREATE TABLE records (
    run bytea NOT NULL,
    seq bigint NOT NULL,
    leaf bytea NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run, seq)
);
ALTER TABLE records ALTER COLUMN body SET STORAGE EXTERNAL;

-- The receiver of a message need not exist yet: a stop may overtake the start of a child.
CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    receiver bytea NOT NULL,
    sender bytea NOT NULL,
    effect bigint NOT NULL,
    body bytea NOT NULL,
    UNIQUE (receiver, sender, effect)
);

CREATE TABLE blobs (
    id bytea PRIMARY KEY,
    tenant text NOT NULL,
    codec smallint NOT NULL,
    length bigint NOT NULL,
    body bytea NOT NULL
);
ALTER TABLE blobs ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE snapshots (
    run bytea PRIMARY KEY,
    seq bigint NOT NULL,
    leaf bytea NOT NULL,
    version integer NOT NULL,
    body bytea NOT NULL
);

CREATE TABLE versions (
    vid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    agent text NOT NULL,
    version bytea NOT NULL,
    body bytea NOT NULL,
    created bigint NOT NULL,
    UNIQUE (tenant, version, agent)
);
CREATE INDEX versions_list ON versions (tenant, agent, created);

CREATE TABLE live (
    tenant text NOT NULL,
    agent text NOT NULL,
    version bytea NOT NULL,
    PRIMARY KEY (tenant, agent)
);
