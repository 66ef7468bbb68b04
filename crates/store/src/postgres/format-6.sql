-- What format 6 adds to format 5.

-- Budgets of tenants and, with a name in `agent`, of agents: a limit of each kind, NULL for none. Money counts millionths, time microseconds.
CREATE TABLE budgets (
    id bigint PRIMARY KEY,
    tenant text NOT NULL,
    agent text NOT NULL,
    per text NOT NULL,
    tokens bigint,
    usd bigint,
    tool_calls bigint,
    active bigint,
    cpu bigint,
    traffic bigint,
    disk bigint,
    children bigint,
    at bigint NOT NULL,
    set_by text NOT NULL
);
CREATE UNIQUE INDEX budgets_one ON budgets (tenant, agent, per);

-- What runs hold of a window of a budget, and what was used of it.
CREATE TABLE budget_use (
    budget bigint NOT NULL,
    start bigint NOT NULL,
    held_tokens bigint NOT NULL,
    held_usd bigint NOT NULL,
    held_tool_calls bigint NOT NULL,
    held_active bigint NOT NULL,
    held_cpu bigint NOT NULL,
    held_traffic bigint NOT NULL,
    held_disk bigint NOT NULL,
    held_children bigint NOT NULL,
    used_tokens bigint NOT NULL,
    used_usd bigint NOT NULL,
    used_tool_calls bigint NOT NULL,
    used_active bigint NOT NULL,
    used_cpu bigint NOT NULL,
    used_traffic bigint NOT NULL,
    used_disk bigint NOT NULL,
    used_children bigint NOT NULL,
    PRIMARY KEY (budget, start)
);

-- What the ended runs of a session used beside tokens and money; NULL where no release has told.
ALTER TABLE sessions ADD COLUMN tool_calls bigint;
ALTER TABLE sessions ADD COLUMN active_time bigint;
ALTER TABLE sessions ADD COLUMN cpu bigint;
ALTER TABLE sessions ADD COLUMN traffic bigint;
ALTER TABLE sessions ADD COLUMN disk bigint;
ALTER TABLE sessions ADD COLUMN children bigint;
