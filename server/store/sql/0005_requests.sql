-- What a job's request_id was sent with, beside the spec: 'create', 'retry ID' or 'restart ID'; '' where an older version stored the job.

ALTER TABLE job ADD COLUMN request TEXT NOT NULL DEFAULT '';

-- The bytes of the uploaded data set that the job learns from; '': one of the catalogue.

ALTER TABLE job ADD COLUMN dataset_sha256 TEXT NOT NULL DEFAULT '';

UPDATE job SET dataset_sha256 = coalesce(
  (SELECT sha256 FROM dataset_use JOIN dataset ON dataset.row = dataset_row WHERE job_row = job.row), '');

-- Pages of jobs of some states, in order of arrival.

CREATE INDEX job_by_state_in_order ON job (state, row);

-- Who goes on from a job's checkpoints.

CREATE INDEX job_by_retry ON job (retry_of) WHERE retry_of != '';
