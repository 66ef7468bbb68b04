-- What format 3 adds to format 2.

-- Content of workspaces, by its address. `held` is the time until which somebody holds it, whatever leads to it.
CREATE TABLE objects (
    tenant text NOT NULL,
    id bytea NOT NULL,
    held bigint NOT NULL,
    codec smallint NOT NULL,
    length bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (tenant, id)
);
ALTER TABLE objects ALTER COLUMN body SET STORAGE EXTERNAL;
