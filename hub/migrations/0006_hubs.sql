-- Several Hubs on one database: each renews a lease, and others take over what a dead one was doing.

CREATE TABLE hubs (
    -- Random name of one run of the Hub.
    id TEXT PRIMARY KEY,
    -- Host and port: a Hub that comes back to them knows that the one before it is dead.
    name TEXT NOT NULL UNIQUE,
    -- Boot of the machine: processes of one are no other's.
    machine TEXT NOT NULL,
    started BIGINT NOT NULL,
    -- By the clock of the database.
    seen BIGINT NOT NULL
);

-- Rows that are taken, by a change that changes nothing, before something is counted that others change too.
CREATE TABLE locks (
    name TEXT PRIMARY KEY
);
INSERT INTO locks (name) VALUES ('starts');

-- The Hub that carries out the latest start or stop.
ALTER TABLE servers ADD COLUMN worker TEXT NOT NULL DEFAULT '';
-- Order of the starts that wait.
ALTER TABLE servers ADD COLUMN place BIGINT NOT NULL DEFAULT 0;
-- 0 for a start that waits in the queue.
ALTER TABLE servers ADD COLUMN under_way BIGINT NOT NULL DEFAULT 1;

-- The Hub that removes it.
ALTER TABLE leftovers ADD COLUMN worker TEXT NOT NULL DEFAULT '';
