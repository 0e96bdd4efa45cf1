-- Partners, contacts, teams and segments. Folded names are lower case without accents.

CREATE TABLE partner (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    tier        TEXT NOT NULL,
    manager     TEXT,
    locale      TEXT,
    time_zone   TEXT,
    region      TEXT,
    tags        TEXT NOT NULL,
    channels    TEXT NOT NULL,
    changed_at  BIGINT NOT NULL
);

CREATE TABLE contact (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    partner     TEXT,
    duty        TEXT,
    locale      TEXT,
    time_zone   TEXT,
    region      TEXT,
    tags        TEXT NOT NULL,
    superior    TEXT,
    signature   TEXT,
    changed_at  BIGINT NOT NULL
);
CREATE INDEX contact_by_partner ON contact (partner, id) WHERE partner IS NOT NULL;

CREATE TABLE contact_address (
    contact  TEXT NOT NULL,
    position BIGINT NOT NULL,
    channel  TEXT NOT NULL,
    address  TEXT NOT NULL,
    PRIMARY KEY (contact, position)
);
CREATE INDEX contact_address_by_address ON contact_address (address, channel, contact);

CREATE TABLE contact_team (
    team    TEXT NOT NULL,
    contact TEXT NOT NULL,
    PRIMARY KEY (team, contact)
);
CREATE INDEX contact_team_by_contact ON contact_team (contact);

-- Tags of contacts and partners, one row each, for segments.
CREATE TABLE tag (
    owner TEXT NOT NULL,
    kind  TEXT NOT NULL,
    tag   TEXT NOT NULL,
    PRIMARY KEY (owner, kind, tag)
);

CREATE TABLE segment (
    name   TEXT PRIMARY KEY,
    filter TEXT NOT NULL
);

CREATE TABLE template_version (
    version TEXT PRIMARY KEY,
    source  TEXT NOT NULL,
    at      BIGINT NOT NULL
);
