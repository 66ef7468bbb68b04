-- What format 2 adds to format 1. A new schema is made in both steps, so that there is one way to each format.

-- Open questions to humans; a row goes when its question is answered, expires or is withdrawn.
CREATE TABLE approvals (
    run bytea NOT NULL,
    effect bigint NOT NULL,
    session bytea NOT NULL,
    tenant text NOT NULL,
    agent text NOT NULL,
    asked bigint NOT NULL,
    PRIMARY KEY (run, effect)
);
CREATE INDEX approvals_list ON approvals (tenant, asked, run, effect);
CREATE INDEX approvals_agent ON approvals (tenant, agent, asked, run, effect);
CREATE INDEX approvals_session ON approvals (session, asked, run, effect);

-- A key alone finds its sessions, one of each agent.
DROP INDEX sessions_key;
CREATE UNIQUE INDEX sessions_key ON sessions (tenant, key, agent) WHERE key IS NOT NULL;
CREATE INDEX sessions_agent ON sessions (tenant, agent, id);

-- An agent's runs of one status, as those of a tenant.
DROP INDEX runs_agent;
CREATE INDEX runs_agent ON runs (tenant, agent, status, id);

-- Names of agents' versions. Format 1 knew one, `live`, and not who moved it when.
CREATE TABLE aliases (
    tenant text NOT NULL,
    agent text NOT NULL,
    alias text NOT NULL,
    version bytea NOT NULL,
    PRIMARY KEY (tenant, agent, alias)
);
INSERT INTO aliases SELECT tenant, agent, 'live', version FROM live;
DROP TABLE live;
CREATE TABLE alias_moves (
    mid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    agent text NOT NULL,
    alias text NOT NULL,
    was bytea,
    version bytea,
    at bigint NOT NULL,
    moved_by text NOT NULL,
    why text NOT NULL
);
CREATE INDEX alias_moves_list ON alias_moves (tenant, agent, mid);

-- What runs have used, by run, model and hour; a row's hour is the one in which it was settled.
ALTER TABLE runs ADD COLUMN started_by text;
CREATE TABLE usage (
    tenant text NOT NULL,
    hour bigint NOT NULL,
    run bytea NOT NULL,
    model text NOT NULL,
    replies bigint NOT NULL,
    failures bigint NOT NULL,
    tool_calls bigint NOT NULL,
    input bigint NOT NULL,
    cached bigint NOT NULL,
    cache_write bigint NOT NULL,
    output bigint NOT NULL,
    reasoning bigint NOT NULL,
    usd bigint NOT NULL,
    unpriced bigint NOT NULL,
    estimated_tokens bigint NOT NULL,
    estimated_usd bigint NOT NULL,
    PRIMARY KEY (tenant, hour, run, model)
) WITH (fillfactor = 80);
