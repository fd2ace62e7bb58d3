-- Tokens of a JupyterHub whose database was imported: `token_hash` is then JupyterHub's own, salted, so that a token is found
-- by its first four characters. With its first use it becomes a row like others.
ALTER TABLE api_tokens ADD COLUMN imported_prefix TEXT;
CREATE INDEX api_tokens_imported ON api_tokens (imported_prefix);
