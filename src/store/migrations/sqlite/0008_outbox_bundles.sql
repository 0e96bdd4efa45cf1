-- Status events lie in bundles, one row a transaction, each for the process that wrote it. What an older
-- process still writes to `outbox` is taken over by a newer one while both run, and after.

CREATE TABLE outbox_bundle (
    run    UUID NOT NULL,
    id     UUID NOT NULL,
    at     BIGINT NOT NULL,
    count  BIGINT NOT NULL,
    bundle TEXT NOT NULL,
    PRIMARY KEY (run, id)
);
