-- Retries that cost a job nothing, since its newest checkpoint.

ALTER TABLE job ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;

-- Until when a claim holds without being renewed. A server that starts takes back its own claims at once, those of others after this.

ALTER TABLE job ADD COLUMN lease INTEGER NOT NULL DEFAULT 0;
