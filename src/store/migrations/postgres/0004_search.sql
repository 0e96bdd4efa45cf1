-- Lists of the newest first by one filter alone. What most rows lack is left out of its index.

CREATE INDEX delivery_by_type ON delivery (event_type, created_at, id);
CREATE INDEX delivery_by_step ON delivery (step, created_at, id);
CREATE INDEX delivery_by_channel ON delivery (channel, created_at, id);
CREATE INDEX delivery_by_reason ON delivery (reason, created_at, id);
CREATE INDEX delivery_by_provider ON delivery (provider, created_at, id)
    WHERE provider IS NOT NULL;
CREATE INDEX delivery_by_code ON delivery (last_code, created_at, id)
    WHERE last_code IS NOT NULL;
CREATE INDEX delivery_by_name ON delivery (recipient_folded, created_at, id)
    WHERE recipient_folded IS NOT NULL;

CREATE INDEX event_by_type ON event (event_type, received_at, id);
CREATE INDEX event_by_partner ON event (partner, received_at, id) WHERE partner IS NOT NULL;
CREATE INDEX event_by_state ON event (state, received_at, id);
CREATE INDEX event_repeated ON event (received_at, id) WHERE repeats > 0;

CREATE INDEX rejected_by_reason ON rejected (reason, at, id);
CREATE INDEX rejected_by_type ON rejected (event_type, at, id) WHERE event_type IS NOT NULL;
CREATE INDEX rejected_by_id ON rejected (external_id, at, id) WHERE external_id IS NOT NULL;
