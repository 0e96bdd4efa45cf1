-- What changes often stands in narrow tables of its own, so that a delivery's wide row is written when
-- it is planned and when it ends, and no index of it with either.

-- Whoever still runs the version before must not move a delivery between the steps of this.
LOCK TABLE delivery IN ACCESS EXCLUSIVE MODE;

-- A delivery in the state `waiting` has one row, in `waiting` or, while a worker holds it, in `claimed`.
CREATE TABLE waiting (
    delivery   UUID PRIMARY KEY,
    provider   TEXT,
    lane       BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX waiting_to_claim ON waiting (provider, lane, due_at, delivery);
CREATE INDEX waiting_due ON waiting (due_at);
CREATE INDEX waiting_to_expire ON waiting (expires_at);
CREATE INDEX waiting_by_created ON waiting (created_at, delivery);

CREATE TABLE claimed (
    delivery    UUID PRIMARY KEY,
    lease_token UUID NOT NULL,
    lease_until BIGINT NOT NULL,
    lease_run   UUID NOT NULL,
    intent      TEXT
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Deliveries that are not as nearly all are, to be found by what sets them apart.
CREATE TABLE notable (
    delivery   UUID PRIMARY KEY,
    created_at BIGINT NOT NULL,
    state      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    code       TEXT
);
CREATE INDEX notable_by_state ON notable (state, created_at, delivery);
CREATE INDEX notable_by_reason ON notable (reason, created_at, delivery);
CREATE INDEX notable_by_code ON notable (code, created_at, delivery) WHERE code IS NOT NULL;

INSERT INTO waiting (delivery, provider, lane, due_at, expires_at, created_at)
    SELECT id, provider, lane, due_at, expires_at, created_at FROM delivery
    WHERE state = 'waiting' AND lease_token IS NULL;
INSERT INTO claimed (delivery, lease_token, lease_until, lease_run, intent)
    SELECT id, lease_token, lease_until, lease_run, intent FROM delivery
    WHERE state = 'waiting' AND lease_token IS NOT NULL;
-- A try counts once it has ended.
UPDATE delivery SET attempts = attempts - 1 WHERE lease_token IS NOT NULL AND attempts > 0;
INSERT INTO notable (delivery, created_at, state, reason, code)
    SELECT id, created_at, state, reason, last_code FROM delivery
    WHERE state NOT IN ('waiting', 'sent', 'delivered')
    OR reason NOT IN ('scheduled', 'accepted') OR last_code NOT IN ('200', '202', '250');

CREATE FUNCTION note_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notable (delivery, created_at, state, reason, code)
        VALUES (NEW.id, NEW.created_at, NEW.state, NEW.reason, NEW.last_code)
        ON CONFLICT (delivery) DO UPDATE
        SET state = excluded.state, reason = excluded.reason, code = excluded.code;
    RETURN NULL;
END $$;
CREATE FUNCTION forget_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM notable WHERE delivery = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER delivery_planned AFTER INSERT ON delivery FOR EACH ROW
    WHEN (NEW.state NOT IN ('waiting', 'sent', 'delivered')
        OR NEW.reason NOT IN ('scheduled', 'accepted')
        OR NEW.last_code NOT IN ('200', '202', '250'))
    EXECUTE FUNCTION note_delivery();
CREATE TRIGGER delivery_moved AFTER UPDATE ON delivery FOR EACH ROW
    WHEN (NEW.state NOT IN ('waiting', 'sent', 'delivered')
        OR NEW.reason NOT IN ('scheduled', 'accepted')
        OR NEW.last_code NOT IN ('200', '202', '250'))
    EXECUTE FUNCTION note_delivery();
CREATE TRIGGER delivery_settled AFTER UPDATE ON delivery FOR EACH ROW
    WHEN ((OLD.state NOT IN ('waiting', 'sent', 'delivered')
        OR OLD.reason NOT IN ('scheduled', 'accepted')
        OR OLD.last_code NOT IN ('200', '202', '250'))
        AND NEW.state IN ('waiting', 'sent', 'delivered')
        AND NEW.reason IN ('scheduled', 'accepted')
        AND (NEW.last_code IS NULL OR NEW.last_code IN ('200', '202', '250')))
    EXECUTE FUNCTION forget_delivery();
CREATE TRIGGER delivery_forgotten AFTER DELETE ON delivery FOR EACH ROW
    WHEN (OLD.state NOT IN ('waiting', 'sent', 'delivered')
        OR OLD.reason NOT IN ('scheduled', 'accepted')
        OR OLD.last_code NOT IN ('200', '202', '250'))
    EXECUTE FUNCTION forget_delivery();

DROP INDEX delivery_to_claim;
DROP INDEX delivery_leased;
DROP INDEX delivery_to_expire;
DROP INDEX delivery_due;
DROP INDEX delivery_held;
DROP INDEX delivery_by_state;
DROP INDEX delivery_by_reason;
DROP INDEX delivery_by_code;
ALTER TABLE delivery DROP COLUMN lease_token;
ALTER TABLE delivery DROP COLUMN lease_until;
ALTER TABLE delivery DROP COLUMN lease_run;
ALTER TABLE delivery DROP COLUMN intent;
-- Room in each page for its rows to end where they stand, which writes no index.
ALTER TABLE delivery SET (fillfactor = 55);
