-- Who things belong to. What was there before belongs to the project `default`.

CREATE TABLE project (
  row                INTEGER PRIMARY KEY,
  name               TEXT    NOT NULL UNIQUE,
  create_time        INTEGER NOT NULL,
  queued_jobs        INTEGER NOT NULL DEFAULT 0,     -- the most it may have; 0: no limit
  running_jobs       INTEGER NOT NULL DEFAULT 0,
  threads            INTEGER NOT NULL DEFAULT 0,     -- of its running jobs together
  memory_bytes       INTEGER NOT NULL DEFAULT 0,     -- the same
  dataset_bytes      INTEGER NOT NULL DEFAULT 0,
  model_bytes        INTEGER NOT NULL DEFAULT 0,
  checkpoint_bytes   INTEGER NOT NULL DEFAULT 0,
  calls_per_second   REAL    NOT NULL DEFAULT 0,
  weight             REAL    NOT NULL DEFAULT 1 CHECK (weight > 0),
  used               REAL    NOT NULL DEFAULT 0,     -- thread-seconds for its weight: store/fair_queue.h
  served             REAL    NOT NULL DEFAULT 0      -- what its turn was when a job of it was claimed last
);

INSERT INTO project (name, create_time) VALUES ('default', 0);

ALTER TABLE job ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
ALTER TABLE job ADD COLUMN created_by TEXT NOT NULL DEFAULT '';      -- who asked for it; '': it was not asked who calls
ALTER TABLE job ADD COLUMN memory INTEGER NOT NULL DEFAULT 0;        -- bytes that it needs by its plan; 0: not known
ALTER TABLE job ADD COLUMN checkpoint_bytes INTEGER NOT NULL DEFAULT 0;  -- of the newest one that it wrote

UPDATE job SET memory = plan_memory(plan) WHERE length(plan) > 0 AND state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED');

-- A client's name for a request is unique within its project: here it is 'PROJECT REQUEST_ID', and neither has a space.
UPDATE job SET request_id = 'default ' || request_id WHERE request_id IS NOT NULL;
UPDATE sweep SET request_id = 'default ' || request_id WHERE request_id IS NOT NULL;

-- The queue of each project.
DROP INDEX job_queue;
CREATE INDEX job_queue ON job (project, priority DESC, row, expected_ms) WHERE state = 'QUEUED' AND held = 0;

-- Pages of a project's jobs; how many are in a state.
CREATE INDEX job_by_project ON job (project, row);
CREATE INDEX job_by_project_and_state ON job (project, state, row);
CREATE INDEX job_by_checkpoint ON job (project, checkpoint_bytes) WHERE checkpoint_bytes > 0;

-- What `job_by_state_in_order` does as well.
DROP INDEX job_by_state;

ALTER TABLE model ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
CREATE INDEX model_by_project ON model (project, row, bytes);

ALTER TABLE sweep ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
CREATE INDEX sweep_by_project ON sweep (project, row);

-- Names of data sets are unique within a project, and so are uploads.

CREATE TABLE kept_use AS SELECT job_row, dataset_row FROM dataset_use;
DROP TABLE dataset_use;
DROP TRIGGER validation_goes_with_its_dataset;
DROP TRIGGER validation_goes_with_its_name;
DROP INDEX dataset_by_bytes;

ALTER TABLE dataset RENAME TO dataset_before;
CREATE TABLE dataset (
  row          INTEGER PRIMARY KEY AUTOINCREMENT,
  project      TEXT    NOT NULL,
  name         TEXT,                                 -- NULL: deleted by force; jobs still need its bytes
  format       INTEGER NOT NULL,                     -- hone.v1.Dataset.Format
  bytes        INTEGER NOT NULL CHECK (bytes > 0),
  sha256       TEXT    NOT NULL CHECK (length(sha256) = 64),
  create_time  INTEGER NOT NULL,
  UNIQUE (project, name)
);
INSERT INTO dataset SELECT row, 'default', name, format, bytes, sha256, create_time FROM dataset_before;
DROP TABLE dataset_before;
CREATE INDEX dataset_by_bytes ON dataset (sha256, format);

CREATE TABLE dataset_use (
  job_row      INTEGER PRIMARY KEY REFERENCES job (row) ON DELETE CASCADE,
  dataset_row  INTEGER NOT NULL REFERENCES dataset (row) ON DELETE CASCADE
);
INSERT INTO dataset_use SELECT job_row, dataset_row FROM kept_use;
DROP TABLE kept_use;
CREATE INDEX dataset_use_by_dataset ON dataset_use (dataset_row);

ALTER TABLE upload RENAME TO upload_before;
CREATE TABLE upload (
  id           TEXT    PRIMARY KEY,
  project      TEXT    NOT NULL,
  name         TEXT    NOT NULL,
  format       INTEGER NOT NULL,
  bytes        INTEGER NOT NULL CHECK (bytes > 0),
  sha256       TEXT    NOT NULL CHECK (length(sha256) = 64),
  touch_time   INTEGER NOT NULL,                     -- when somebody last sent or asked
  UNIQUE (project, name, format, bytes, sha256)
) WITHOUT ROWID;
INSERT INTO upload SELECT id, 'default', name, format, bytes, sha256, touch_time FROM upload_before;
DROP TABLE upload_before;

ALTER TABLE validation RENAME TO validation_before;
CREATE TABLE validation (
  row       INTEGER PRIMARY KEY AUTOINCREMENT,       -- the newest is the highest
  project   TEXT    NOT NULL,
  name      TEXT    NOT NULL,
  sha256    TEXT    NOT NULL,
  payload   BLOB    NOT NULL,                        -- hone.v1.DatasetValidation
  UNIQUE (project, name, sha256)
);
INSERT INTO validation SELECT row, 'default', name, sha256, payload FROM validation_before;
DROP TABLE validation_before;

CREATE TRIGGER validation_goes_with_its_dataset AFTER DELETE ON dataset
BEGIN
  DELETE FROM validation WHERE project = OLD.project AND name = OLD.name;
END;

CREATE TRIGGER validation_goes_with_its_name AFTER UPDATE OF name ON dataset
BEGIN
  DELETE FROM validation WHERE project = OLD.project AND name = OLD.name;
END;

-- A token without a project is of `default`, '*' works in any that it names.
UPDATE token SET project = 'default' WHERE project = '';
