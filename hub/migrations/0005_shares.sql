-- Servers that are shared with users and groups, and codes by which one is offered. Both go with the server, and so with
-- its owner. `scopes` is a JSON list of scopes without a filter: that of the server's name is put to them when they are
-- read, so that it follows the name.

CREATE TABLE shares (
    id BIGINT PRIMARY KEY,
    server_id BIGINT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    -- With whom: a user or a group.
    user_id BIGINT REFERENCES users (id) ON DELETE CASCADE,
    group_id BIGINT REFERENCES user_groups (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    created BIGINT NOT NULL,
    UNIQUE (server_id, user_id),
    UNIQUE (server_id, group_id),
    CHECK ((user_id IS NULL) <> (group_id IS NULL))
);
CREATE INDEX shares_user ON shares (user_id);
CREATE INDEX shares_group ON shares (group_id);

CREATE TABLE share_codes (
    id BIGINT PRIMARY KEY,
    -- SHA-256 of the code, which is told once.
    code_hash TEXT NOT NULL UNIQUE,
    server_id BIGINT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    exchange_count BIGINT NOT NULL DEFAULT 0,
    last_exchanged BIGINT
);
CREATE INDEX share_codes_server ON share_codes (server_id);
