-- Accounts that administrators make, secrets of the Hub itself, and what became of a code.

-- 1 for a user whom an administrator added: may log in although the configuration does not say so.
ALTER TABLE users ADD COLUMN added BIGINT NOT NULL DEFAULT 0;
-- 1 for one whom an administrator made one: stays it although the configuration does not say so.
ALTER TABLE users ADD COLUMN added_as_admin BIGINT NOT NULL DEFAULT 0;

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- 1 once it was exchanged, 2 once somebody tried to exchange it again.
ALTER TABLE oauth_codes ADD COLUMN spent BIGINT NOT NULL DEFAULT 0;
-- The code that the token was given for.
ALTER TABLE api_tokens ADD COLUMN code_hash TEXT;
CREATE INDEX api_tokens_code ON api_tokens (code_hash);
