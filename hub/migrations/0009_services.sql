-- An OAuth client is a server's or a service's. SQLite takes NOT NULL from no column, so the table is made anew; and with it
-- those that refer to it, for their rows would go with the old one.
CREATE TABLE clients_of_both (
    client_id TEXT PRIMARY KEY,
    server_id BIGINT UNIQUE REFERENCES servers (id) ON DELETE CASCADE,
    service_id BIGINT UNIQUE REFERENCES services (id) ON DELETE CASCADE,
    secret_hash TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    -- JSON list.
    allowed_scopes TEXT NOT NULL,
    CHECK ((server_id IS NULL) <> (service_id IS NULL))
);
INSERT INTO clients_of_both (client_id, server_id, secret_hash, redirect_uri, allowed_scopes)
    SELECT client_id, server_id, secret_hash, redirect_uri, allowed_scopes FROM oauth_clients;

CREATE TABLE codes_of_both (
    code_hash TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients_of_both (client_id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id TEXT NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT,
    scopes TEXT NOT NULL,
    expires BIGINT NOT NULL,
    spent BIGINT NOT NULL DEFAULT 0
);
INSERT INTO codes_of_both
    (code_hash, client_id, user_id, session_id, redirect_uri, code_challenge, scopes, expires, spent)
    SELECT code_hash, client_id, user_id, session_id, redirect_uri, code_challenge, scopes, expires, spent
    FROM oauth_codes;

CREATE TABLE tokens_of_all (
    id BIGINT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    user_id BIGINT REFERENCES users (id) ON DELETE CASCADE,
    service_id BIGINT REFERENCES services (id) ON DELETE CASCADE,
    client_id TEXT REFERENCES clients_of_both (client_id) ON DELETE CASCADE,
    server_id BIGINT REFERENCES servers (id) ON DELETE CASCADE,
    session_id TEXT REFERENCES sessions (session_id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    note TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_activity BIGINT,
    expires BIGINT,
    code_hash TEXT,
    imported_prefix TEXT,
    CHECK ((user_id IS NULL) <> (service_id IS NULL))
);
INSERT INTO tokens_of_all
    (id, token_hash, user_id, service_id, client_id, server_id, session_id, scopes, note, created, last_activity, expires,
     code_hash, imported_prefix)
    SELECT id, token_hash, user_id, service_id, client_id, server_id, session_id, scopes, note, created, last_activity, expires,
           code_hash, imported_prefix
    FROM api_tokens;

DROP TABLE api_tokens;
DROP TABLE oauth_codes;
DROP TABLE oauth_clients;
ALTER TABLE clients_of_both RENAME TO oauth_clients;
ALTER TABLE codes_of_both RENAME TO oauth_codes;
ALTER TABLE tokens_of_all RENAME TO api_tokens;
CREATE INDEX api_tokens_user ON api_tokens (user_id);
CREATE INDEX api_tokens_service ON api_tokens (service_id);
CREATE INDEX api_tokens_client ON api_tokens (client_id);
CREATE INDEX api_tokens_server ON api_tokens (server_id);
CREATE INDEX api_tokens_session ON api_tokens (session_id);
CREATE INDEX api_tokens_code ON api_tokens (code_hash);
CREATE INDEX api_tokens_imported ON api_tokens (imported_prefix);

-- JSON list: what the Hub runs; empty for one that runs elsewhere.
ALTER TABLE services ADD COLUMN command TEXT NOT NULL DEFAULT '[]';
-- 1 where nobody is asked whether it may know them.
ALTER TABLE services ADD COLUMN oauth_no_confirm BIGINT NOT NULL DEFAULT 0;
