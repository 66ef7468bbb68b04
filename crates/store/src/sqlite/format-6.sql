-- What format 6 adds to format 5.

-- Budgets of tenants and, with a name in `agent`, of agents: a limit of each kind, NULL for none. Money counts millionths, time microseconds.
CREATE TABLE budgets (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    per TEXT NOT NULL,
    tokens INTEGER,
    usd INTEGER,
    tool_calls INTEGER,
    active INTEGER,
    cpu INTEGER,
    traffic INTEGER,
    disk INTEGER,
    children INTEGER,
    at INTEGER NOT NULL,
    set_by TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX budgets_one ON budgets (tenant, agent, per);

-- What runs hold of a window of a budget, and what was used of it.
CREATE TABLE budget_use (
    budget INTEGER NOT NULL,
    start INTEGER NOT NULL,
    held_tokens INTEGER NOT NULL,
    held_usd INTEGER NOT NULL,
    held_tool_calls INTEGER NOT NULL,
    held_active INTEGER NOT NULL,
    held_cpu INTEGER NOT NULL,
    held_traffic INTEGER NOT NULL,
    held_disk INTEGER NOT NULL,
    held_children INTEGER NOT NULL,
    used_tokens INTEGER NOT NULL,
    used_usd INTEGER NOT NULL,
    used_tool_calls INTEGER NOT NULL,
    used_active INTEGER NOT NULL,
    used_cpu INTEGER NOT NULL,
    used_traffic INTEGER NOT NULL,
    used_disk INTEGER NOT NULL,
    used_children INTEGER NOT NULL,
    PRIMARY KEY (budget, start)
) STRICT;

-- What the ended runs of a session used beside tokens and money; NULL where no release has told.
ALTER TABLE sessions ADD COLUMN tool_calls INTEGER;
ALTER TABLE sessions ADD COLUMN active_time INTEGER;
ALTER TABLE sessions ADD COLUMN cpu INTEGER;
ALTER TABLE sessions ADD COLUMN traffic INTEGER;
ALTER TABLE sessions ADD COLUMN disk INTEGER;
ALTER TABLE sessions ADD COLUMN children INTEGER;
