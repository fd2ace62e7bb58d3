-- The Hub's state. Only what SQLite and PostgreSQL both understand: TEXT and BIGINT columns; times are
-- milliseconds since 1970, booleans are 0 and 1, keys are made by the Hub (db::new_id).

CREATE TABLE users (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    admin BIGINT NOT NULL,
    -- argon2id; NULL where no password was ever set, so that none fits.
    password_hash TEXT,
    -- 1 while the hash is that of the empty password of the first start.
    password_is_empty BIGINT NOT NULL,
    created BIGINT NOT NULL,
    last_activity BIGINT
);

-- One row per login of a browser.
CREATE TABLE sessions (
    -- SHA-256 of the login cookie.
    token_hash TEXT PRIMARY KEY,
    -- Value of the jupyterhub-session-id cookie: a name, not a secret.
    session_id TEXT NOT NULL UNIQUE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE servers (
    id BIGINT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('stopped', 'pending', 'ready', 'stopping')),
    -- Random name of the latest start, written before the spawner is called.
    start_id TEXT NOT NULL,
    -- JSON, as the spawner wrote it.
    spawner_state TEXT,
    -- JSON object.
    user_options TEXT NOT NULL,
    prefix TEXT NOT NULL,
    url TEXT,
    started BIGINT,
    last_activity BIGINT,
    -- Why the latest start failed or the server ended; NULL after an ordinary stop.
    failure TEXT,
    UNIQUE (user_id, name)
);
CREATE INDEX servers_state ON servers (state);

CREATE TABLE progress_events (
    start_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    server_id BIGINT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    progress BIGINT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (start_id, seq)
);
CREATE INDEX progress_events_server ON progress_events (server_id);

CREATE TABLE oauth_clients (
    client_id TEXT PRIMARY KEY,
    server_id BIGINT NOT NULL UNIQUE REFERENCES servers (id) ON DELETE CASCADE,
    secret_hash TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    -- JSON list.
    allowed_scopes TEXT NOT NULL
);

CREATE TABLE oauth_codes (
    code_hash TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES oauth_clients (client_id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id TEXT NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT,
    scopes TEXT NOT NULL,
    expires BIGINT NOT NULL
);

CREATE TABLE api_tokens (
    id BIGINT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Set for tokens that the OAuth provider gave to a client.
    client_id TEXT REFERENCES oauth_clients (client_id) ON DELETE CASCADE,
    -- Set for the token of a server's own process.
    server_id BIGINT REFERENCES servers (id) ON DELETE CASCADE,
    -- Ends with this login session.
    session_id TEXT REFERENCES sessions (session_id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    note TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_activity BIGINT,
    expires BIGINT
);
CREATE INDEX api_tokens_user ON api_tokens (user_id);
CREATE INDEX api_tokens_client ON api_tokens (client_id);
CREATE INDEX api_tokens_server ON api_tokens (server_id);
CREATE INDEX api_tokens_session ON api_tokens (session_id);

-- Tries to log in, per address and user name; failed ones also per address.
CREATE TABLE login_tries (
    key TEXT PRIMARY KEY,
    tries BIGINT NOT NULL,
    last_try BIGINT NOT NULL
);
