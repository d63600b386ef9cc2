-- How often a server ended while it ran the job, since the job's newest checkpoint.

ALTER TABLE job ADD COLUMN recoveries INTEGER NOT NULL DEFAULT 0;
