-- What format 2 adds to format 1. A new directory is made in both steps, so that there is one way to each format.

-- Open questions to humans; a row goes when its question is answered, expires or is withdrawn.
CREATE TABLE approvals (
    run BLOB NOT NULL,
    effect INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    asked INTEGER NOT NULL,
    PRIMARY KEY (run, effect)
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_list ON approvals (tenant, asked, run, effect);
CREATE INDEX approvals_agent ON approvals (tenant, agent, asked, run, effect);

-- A key alone finds its sessions, one of each agent.
DROP INDEX sessions_key;
CREATE UNIQUE INDEX sessions_key ON sessions (tenant, key, agent) WHERE key IS NOT NULL;
CREATE INDEX sessions_agent ON sessions (tenant, agent, id);

-- An agent's runs of one status, as those of a tenant.
DROP INDEX runs_agent;
CREATE INDEX runs_agent ON runs (tenant, agent, status, id);

-- Names of agents' versions. Format 1 knew one, `live`, and not who moved it when.
CREATE TABLE aliases (
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    alias TEXT NOT NULL,
    version BLOB NOT NULL,
    PRIMARY KEY (tenant, agent, alias)
) STRICT;
INSERT INTO aliases SELECT tenant, agent, 'live', version FROM live;
DROP TABLE live;
CREATE TABLE alias_moves (
    mid INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    alias TEXT NOT NULL,
    was BLOB,
    version BLOB,
    at INTEGER NOT NULL,
    moved_by TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT;
CREATE INDEX alias_moves_list ON alias_moves (tenant, agent, mid);

-- What runs have used, by run, model and hour; a row's hour is the one in which it was settled. Rows of one period stand
-- together, so that a sum reads no others.
ALTER TABLE runs ADD COLUMN started_by TEXT;
CREATE TABLE usage (
    tenant TEXT NOT NULL,
    hour INTEGER NOT NULL,
    rid INTEGER NOT NULL,
    model TEXT NOT NULL,
    replies INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    usd INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    estimated_tokens INTEGER NOT NULL,
    estimated_usd INTEGER NOT NULL,
    PRIMARY KEY (tenant, hour, rid, model)
) STRICT, WITHOUT ROWID;
