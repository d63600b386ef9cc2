-- Retries that cost a job nothing, since its newest checkpoint.

ALTER TABLE job ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;

-- Until when a claim holds without being renewed. A server that starts takes back its own claims at once, those of others after this.

ALTER TABLE job ADD COLUMN lease INTEGER NOT NULL DEFAULT 0;

-- How long a job will take by its plan, in milliseconds; NULL: not known. The queue's order with it, for the time until a job's turn.

ALTER TABLE job ADD COLUMN expected_ms INTEGER;

CREATE INDEX job_queue ON job (priority DESC, row, expected_ms) WHERE state = 'QUEUED';

-- What the limits on models go by.

ALTER TABLE model ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE model ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE model ADD COLUMN create_time INTEGER NOT NULL DEFAULT 0;  -- 0: not known
ALTER TABLE model ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
