-- What was done to deliveries and rejected events, and by whom; written only where somebody does something.
CREATE TABLE deed (
    subject UUID NOT NULL,
    at      BIGINT NOT NULL,
    deed    TEXT NOT NULL,
    author  TEXT NOT NULL,
    note    TEXT,
    PRIMARY KEY (subject, at, deed)
) WITHOUT ROWID;
CREATE INDEX deed_by_time ON deed (at);
