-- 1 where somebody, or a rule of the Hub, has told a server to stop that ran: that is an event, its death is none.
ALTER TABLE servers ADD COLUMN stop_is_told BIGINT NOT NULL DEFAULT 0;
