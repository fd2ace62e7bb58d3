-- Groups, services, roles of the configuration, and tokens of services.

CREATE TABLE user_groups (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- JSON object.
    properties TEXT NOT NULL
);

CREATE TABLE group_members (
    group_id BIGINT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);

CREATE TABLE services (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    admin BIGINT NOT NULL,
    -- 1 for one of the configuration.
    configured BIGINT NOT NULL,
    url TEXT NOT NULL,
    -- JSON object.
    info TEXT NOT NULL,
    -- 1 where pages name it.
    display BIGINT NOT NULL
);

-- JSON lists of scopes.
CREATE TABLE roles (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    scopes TEXT NOT NULL
);
CREATE TABLE user_roles (
    role_id BIGINT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (role_id, user_id)
);
CREATE INDEX user_roles_user ON user_roles (user_id);
CREATE TABLE group_roles (
    role_id BIGINT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    group_id BIGINT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    PRIMARY KEY (role_id, group_id)
);
CREATE INDEX group_roles_group ON group_roles (group_id);
CREATE TABLE service_roles (
    role_id BIGINT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    service_id BIGINT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    PRIMARY KEY (role_id, service_id)
);
CREATE INDEX service_roles_service ON service_roles (service_id);

-- What people call a named server; empty for its name.
ALTER TABLE servers ADD COLUMN display_name TEXT NOT NULL DEFAULT '';

-- A token is a user's or a service's. SQLite takes NOT NULL from no column, so the table is made anew.
CREATE TABLE tokens_of_both (
    id BIGINT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    user_id BIGINT REFERENCES users (id) ON DELETE CASCADE,
    service_id BIGINT REFERENCES services (id) ON DELETE CASCADE,
    client_id TEXT REFERENCES oauth_clients (client_id) ON DELETE CASCADE,
    server_id BIGINT REFERENCES servers (id) ON DELETE CASCADE,
    session_id TEXT REFERENCES sessions (session_id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    note TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_activity BIGINT,
    expires BIGINT,
    code_hash TEXT,
    CHECK ((user_id IS NULL) <> (service_id IS NULL))
);
INSERT INTO tokens_of_both
    (id, token_hash, user_id, client_id, server_id, session_id, scopes, note, created, last_activity, expires, code_hash)
    SELECT id, token_hash, user_id, client_id, server_id, session_id, scopes, note, created, last_activity, expires, code_hash
    FROM api_tokens;
DROP TABLE api_tokens;
ALTER TABLE tokens_of_both RENAME TO api_tokens;
CREATE INDEX api_tokens_user ON api_tokens (user_id);
CREATE INDEX api_tokens_service ON api_tokens (service_id);
CREATE INDEX api_tokens_client ON api_tokens (client_id);
CREATE INDEX api_tokens_server ON api_tokens (server_id);
CREATE INDEX api_tokens_session ON api_tokens (session_id);
CREATE INDEX api_tokens_code ON api_tokens (code_hash);

-- The name under which the spawner knows a server: that of its creation, whatever it is renamed to, so that it keeps
-- its files.
ALTER TABLE servers ADD COLUMN spawner_name TEXT NOT NULL DEFAULT '';
UPDATE servers SET spawner_name = name;
CREATE UNIQUE INDEX servers_spawner_name ON servers (user_id, spawner_name);
