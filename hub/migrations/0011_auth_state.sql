-- What the service that logged the user in tells of them, encrypted; NULL where nothing is kept.
ALTER TABLE users ADD COLUMN auth_state TEXT;
-- When it was asked last; 0 where it refused, so that the user must log in again.
ALTER TABLE users ADD COLUMN auth_refreshed BIGINT;
