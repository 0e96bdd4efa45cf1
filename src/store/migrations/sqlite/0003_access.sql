-- Who may use Loa: people with their login links and sessions, programs with their keys. Of each
-- secret only the SHA-256 is kept.

CREATE TABLE loa_user (
    name           TEXT PRIMARY KEY,
    role           TEXT NOT NULL,
    email          TEXT,
    created_at     BIGINT NOT NULL,
    last_signed_in BIGINT
);

CREATE TABLE login_link (
    digest     BLOB PRIMARY KEY,
    loa_user   TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- seen_at is when it was last used, to the minute; expires_at ends it whatever it is used for.
CREATE TABLE session (
    digest     BLOB PRIMARY KEY,
    loa_user   TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Scopes are words with blanks between.
CREATE TABLE api_key (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    digest     BLOB NOT NULL,
    scopes     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at    BIGINT
);
