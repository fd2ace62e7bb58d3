-- When the Hub will stop a server that runs, and why; NULL while it goes on.
ALTER TABLE servers ADD COLUMN stops_at BIGINT;
ALTER TABLE servers ADD COLUMN stop_reason TEXT NOT NULL DEFAULT '';
-- 1 where use of the server does not put it off.
ALTER TABLE servers ADD COLUMN stop_is_final BIGINT NOT NULL DEFAULT 0;
