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
