-- Who did what, and what ran for how long. Names and not keys: both outlive what they tell of.

CREATE TABLE audit (
    id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    -- `user` or `service`, and its name.
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- NULL for a browser.
    token_id BIGINT,
    address TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status BIGINT NOT NULL
);
CREATE INDEX audit_name ON audit (name);

-- One row per start of a server.
CREATE TABLE runs (
    start_id TEXT PRIMARY KEY,
    user_name TEXT NOT NULL,
    server_name TEXT NOT NULL,
    asked BIGINT NOT NULL,
    -- NULL where it never was, or is not yet.
    ready BIGINT,
    ended BIGINT,
    -- Why the start failed or the server ended by itself.
    failure TEXT
);
CREATE INDEX runs_user ON runs (user_name, asked);
CREATE INDEX runs_ready ON runs (ready);

-- What the server takes by its latest start: bytes, and thousandths of a core. 0 where it is not known.
ALTER TABLE servers ADD COLUMN memory BIGINT NOT NULL DEFAULT 0;
ALTER TABLE servers ADD COLUMN cpu BIGINT NOT NULL DEFAULT 0;
CREATE INDEX servers_user ON servers (user_id);
