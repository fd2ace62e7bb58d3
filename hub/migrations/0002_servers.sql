-- 1 for a named server that is to be deleted as soon as it has stopped.
ALTER TABLE servers ADD COLUMN remove_requested BIGINT NOT NULL DEFAULT 0;
CREATE INDEX servers_start ON servers (start_id);
CREATE INDEX servers_prefix ON servers (prefix);

-- What the spawner keeps of servers that are deleted, such as their claims. Until it is gone, no server gets the name.
CREATE TABLE leftovers (
    user_name TEXT NOT NULL,
    server_name TEXT NOT NULL,
    PRIMARY KEY (user_name, server_name)
);
