-- How far notices of open questions have gone out, by the destination's name. `round` of a question counts what people are to be
-- told of it: that it was asked, each reminder, each step of its escalation.
ALTER TABLE approvals ADD COLUMN round bigint NOT NULL DEFAULT 0;
CREATE TABLE notices (
    dest text NOT NULL,
    run bytea NOT NULL,
    effect bigint NOT NULL,
    asked bigint NOT NULL,
    round bigint NOT NULL,
    sent bigint NOT NULL,
    attempts bigint NOT NULL,
    due bigint NOT NULL,
    PRIMARY KEY (dest, run, effect)
);
