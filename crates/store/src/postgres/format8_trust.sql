-- The directories of approvers: signed entries, in their order. What they say is no matter here.
CREATE TABLE directories (
    tenant text NOT NULL,
    seq bigint NOT NULL,
    body bytea NOT NULL,
    added_by text NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (tenant, seq)
);
