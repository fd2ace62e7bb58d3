-- What the spawner said of the last start, kept over stops: by it the next one finds the server's files.
ALTER TABLE servers ADD COLUMN last_state TEXT;
ALTER TABLE leftovers ADD COLUMN last_state TEXT;
