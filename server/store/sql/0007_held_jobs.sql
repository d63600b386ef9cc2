-- Jobs of the queue that this server cannot start, whatever else runs: they keep their place and hold up nobody. Their message says why.

ALTER TABLE job ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

CREATE INDEX job_held ON job (row) WHERE held = 1;

DROP INDEX job_queue;
CREATE INDEX job_queue ON job (priority DESC, row, expected_ms) WHERE state = 'QUEUED' AND held = 0;
