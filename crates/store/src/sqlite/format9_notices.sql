-- How far notices of open questions have gone out, by the destination's name. `round` of a question counts what people are to be
-- told of it: that it was asked, each reminder, each step of its escalation.
ALTER TABLE approvals ADD COLUMN round INTEGER NOT NULL DEFAULT 0;
CREATE TABLE notices (
    dest TEXT NOT NULL,
    run BLOB NOT NULL,
    effect INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    round INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    PRIMARY KEY (dest, run, effect)
) STRICT, WITHOUT ROWID;
