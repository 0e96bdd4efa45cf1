-- Events, deliveries, attempts and what keeps them in order.
-- Times are microseconds since 1970, truths are 0 and 1, lists and objects are JSON as text.

CREATE TABLE event (
    id             UUID PRIMARY KEY,
    source         TEXT NOT NULL,
    external_id    TEXT NOT NULL,
    event_type     TEXT NOT NULL,
    time           BIGINT NOT NULL,
    received_at    BIGINT NOT NULL,
    not_before     BIGINT,
    business_key   TEXT,
    partner        TEXT,
    correlation_id TEXT,
    traceparent    TEXT,
    only_address   TEXT,
    data           TEXT NOT NULL,
    transport      TEXT NOT NULL,
    state          TEXT NOT NULL,
    deliveries     BIGINT NOT NULL,
    repeats        BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX event_by_key ON event (source, external_id);
CREATE INDEX event_by_external_id ON event (external_id);
CREATE INDEX event_by_received ON event (received_at, id);
CREATE INDEX event_by_business_key ON event (business_key) WHERE business_key IS NOT NULL;

-- Outlives its event, so that a repeat is known as one for as long as configured.
CREATE TABLE event_key (
    source      TEXT NOT NULL,
    external_id TEXT NOT NULL,
    digest      BYTEA NOT NULL,
    event       UUID NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (source, external_id)
);
CREATE INDEX event_key_by_expiry ON event_key (expires_at);

CREATE TABLE delivery (
    id                  UUID PRIMARY KEY,
    event               UUID NOT NULL,
    event_type          TEXT NOT NULL,
    step                TEXT NOT NULL,
    recipient_key       TEXT NOT NULL,
    contact             TEXT,
    partner             TEXT,
    business_key        TEXT,
    channel             TEXT NOT NULL,
    provider            TEXT,
    address             TEXT,
    locale              TEXT NOT NULL,
    time_zone           TEXT NOT NULL,
    recipient           TEXT NOT NULL,
    recipient_folded    TEXT,
    template            TEXT NOT NULL,
    category            TEXT NOT NULL,
    lane                BIGINT NOT NULL,
    state               TEXT NOT NULL,
    reason              TEXT NOT NULL,
    detail              TEXT,
    due_at              BIGINT NOT NULL,
    expires_at          BIGINT NOT NULL,
    attempts            BIGINT NOT NULL,
    follows             UUID,
    version             BIGINT NOT NULL,
    provider_message_id TEXT,
    last_code           TEXT,
    unless              TEXT,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL,
    lease_token         UUID,
    lease_until         BIGINT,
    lease_run           UUID,
    intent              TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX delivery_once ON delivery (event, step, recipient_key, channel);
CREATE INDEX delivery_to_claim ON delivery (provider, lane, due_at, id)
    WHERE state = 'waiting' AND lease_token IS NULL;
CREATE INDEX delivery_leased ON delivery (lease_until) WHERE lease_token IS NOT NULL;
CREATE INDEX delivery_to_expire ON delivery (expires_at)
    WHERE state = 'waiting' AND lease_token IS NULL;
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'waiting' AND lease_token IS NULL;
CREATE INDEX delivery_follows ON delivery (follows) WHERE follows IS NOT NULL;
CREATE INDEX delivery_by_business_key ON delivery (business_key, event_type)
    WHERE business_key IS NOT NULL;
CREATE INDEX delivery_by_created ON delivery (created_at, id);
CREATE INDEX delivery_by_state ON delivery (state, created_at);
CREATE INDEX delivery_by_partner ON delivery (partner, created_at) WHERE partner IS NOT NULL;
CREATE INDEX delivery_by_recipient ON delivery (recipient_key, created_at);
CREATE INDEX delivery_by_address ON delivery (address, created_at) WHERE address IS NOT NULL;
CREATE INDEX delivery_held ON delivery (template) WHERE state = 'held';

CREATE TABLE attempt (
    delivery         UUID NOT NULL,
    number           BIGINT NOT NULL,
    started_at       BIGINT NOT NULL,
    finished_at      BIGINT NOT NULL,
    provider         TEXT NOT NULL,
    class            TEXT NOT NULL,
    code             TEXT,
    answer           TEXT NOT NULL,
    template_version TEXT,
    PRIMARY KEY (delivery, number, started_at)
);

CREATE TABLE captured (
    delivery UUID NOT NULL,
    attempt  BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    channel  TEXT NOT NULL,
    message  TEXT NOT NULL,
    PRIMARY KEY (delivery, attempt)
);
CREATE INDEX captured_by_time ON captured (at, delivery);

CREATE TABLE rejected (
    id          UUID PRIMARY KEY,
    reason      TEXT NOT NULL,
    place       TEXT,
    message     TEXT NOT NULL,
    event_type  TEXT,
    source      TEXT,
    external_id TEXT,
    transport   TEXT NOT NULL,
    at          BIGINT NOT NULL,
    properties  TEXT NOT NULL,
    bytes       BYTEA NOT NULL
);
CREATE INDEX rejected_by_time ON rejected (at, id);

CREATE TABLE outbox (
    id             UUID PRIMARY KEY,
    routing_key    TEXT NOT NULL,
    correlation_id TEXT,
    at             BIGINT NOT NULL,
    body           TEXT NOT NULL
);

-- Counted in the transaction that does the work; a slot is one writer's own row.
CREATE TABLE counter (
    slot       TEXT NOT NULL,
    event_type TEXT NOT NULL,
    name       TEXT NOT NULL,
    value      BIGINT NOT NULL,
    PRIMARY KEY (slot, event_type, name)
);

-- What an event made unwanted, for events that come after it and are not later than it.
CREATE TABLE marker (
    business_key TEXT NOT NULL,
    event_type   TEXT NOT NULL,
    time         BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    PRIMARY KEY (business_key, event_type)
);

CREATE TABLE provider_hold (
    provider TEXT PRIMARY KEY,
    reason   TEXT NOT NULL,
    since    BIGINT NOT NULL,
    held_by  TEXT NOT NULL
);

-- What is left to plan of a big audience.
CREATE TABLE page (
    id            UUID PRIMARY KEY,
    event         UUID NOT NULL,
    step          TEXT NOT NULL,
    query         TEXT NOT NULL,
    after_contact TEXT,
    lease_token   UUID,
    lease_until   BIGINT,
    lease_run     UUID
);
CREATE INDEX page_by_event ON page (event);

CREATE TABLE process (
    run  UUID PRIMARY KEY,
    beat BIGINT NOT NULL
);

CREATE TABLE suppression (
    address TEXT NOT NULL,
    channel TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (address, channel)
);

CREATE TABLE consent (
    address TEXT NOT NULL,
    channel TEXT NOT NULL,
    granted BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    source  TEXT NOT NULL,
    PRIMARY KEY (address, channel)
);
