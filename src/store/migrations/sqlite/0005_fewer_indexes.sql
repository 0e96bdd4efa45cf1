-- Each index is written twice for every delivery: when it is planned and when it is sent. What nearly
-- every row has in common is found by the time of its making; only what is rare keeps an index.

DROP INDEX delivery_by_state;
CREATE INDEX delivery_by_state ON delivery (state, created_at, id)
    WHERE state NOT IN ('sent', 'delivered');
DROP INDEX delivery_by_reason;
CREATE INDEX delivery_by_reason ON delivery (reason, created_at, id)
    WHERE reason NOT IN ('scheduled', 'accepted');
DROP INDEX delivery_by_code;
CREATE INDEX delivery_by_code ON delivery (last_code, created_at, id)
    WHERE last_code NOT IN ('200', '202', '250');
DROP INDEX delivery_by_step;
DROP INDEX delivery_by_channel;

DROP INDEX event_by_key;
DROP INDEX event_by_state;
CREATE INDEX event_by_state ON event (received_at, id) WHERE state = 'planning';
