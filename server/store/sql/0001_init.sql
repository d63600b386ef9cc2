-- Jobs, the log of their events, and models. Times are Unix nanoseconds; 0 where they have not come yet.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE job (
  row            INTEGER PRIMARY KEY AUTOINCREMENT,  -- in order of arrival
  id             TEXT    NOT NULL UNIQUE,
  request_id     TEXT    UNIQUE,
  task           TEXT    NOT NULL,
  spec           BLOB    NOT NULL,                   -- hone.v1.JobSpec
  plan           BLOB    NOT NULL,                   -- hone.v1.Plan
  threads        INTEGER NOT NULL CHECK (threads >= 1),
  state          TEXT    NOT NULL CHECK (state IN (
                   'QUEUED', 'RUNNING', 'CANCELLING', 'PAUSING', 'PAUSED', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  end_reason     INTEGER NOT NULL DEFAULT 0,
  message        TEXT    NOT NULL DEFAULT '',
  attempt        INTEGER NOT NULL DEFAULT 0,
  failures       INTEGER NOT NULL DEFAULT 0,
  owner          TEXT    NOT NULL DEFAULT '',        -- the server that claimed it
  not_before     INTEGER NOT NULL DEFAULT 0,
  priority       INTEGER NOT NULL DEFAULT 0,
  deadline       INTEGER NOT NULL DEFAULT 0,         -- 0: none
  retry_of       TEXT    NOT NULL DEFAULT '',        -- id of the job whose checkpoints it begins with
  create_time    INTEGER NOT NULL,
  start_time     INTEGER NOT NULL DEFAULT 0,
  end_time       INTEGER NOT NULL DEFAULT 0,
  progress       BLOB    NOT NULL DEFAULT x'',       -- hone.v1.JobProgress
  latest         BLOB    NOT NULL DEFAULT x'',       -- hone.v1.Metrics
  evaluation     BLOB    NOT NULL DEFAULT x'',       -- hone.v1.Evaluation
  model_id       TEXT    NOT NULL DEFAULT '',
  last_sequence  INTEGER NOT NULL DEFAULT 0,
  CHECK ((end_reason = 0) = (state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED'))),
  CHECK ((end_time = 0) = (state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')))
);

-- The queue's order, for claims and positions.
CREATE INDEX job_by_state ON job (state, priority DESC, row);
CREATE INDEX job_by_deadline ON job (deadline) WHERE state = 'QUEUED' AND deadline > 0;

CREATE TABLE job_label (
  job_row   INTEGER NOT NULL,
  label     TEXT    NOT NULL,                        -- key=value
  PRIMARY KEY (job_row, label)
) WITHOUT ROWID;

-- Deleted jobs whose events are still to be removed, a slice at a time.
CREATE TABLE garbage (
  job_row   INTEGER PRIMARY KEY
);

-- The changes of jobs::kTransitions and no others.
CREATE TRIGGER job_state_change BEFORE UPDATE OF state ON job
WHEN OLD.state || '>' || NEW.state NOT IN (
  'QUEUED>RUNNING',
  'QUEUED>CANCELLED',
  'QUEUED>PAUSED',
  'QUEUED>FAILED',
  'RUNNING>QUEUED',
  'RUNNING>SUCCEEDED',
  'RUNNING>FAILED',
  'RUNNING>CANCELLING',
  'RUNNING>PAUSING',
  'CANCELLING>CANCELLED',
  'CANCELLING>SUCCEEDED',
  'CANCELLING>FAILED',
  'PAUSING>PAUSED',
  'PAUSING>SUCCEEDED',
  'PAUSING>FAILED',
  'PAUSING>CANCELLING',
  'PAUSED>QUEUED',
  'PAUSED>CANCELLED'
)
BEGIN
  SELECT RAISE(ABORT, 'change of state not allowed');
END;

-- Sequences of a job are 1, 2, 3, … without gaps.
CREATE TABLE event (
  job_row   INTEGER NOT NULL,
  sequence  INTEGER NOT NULL,
  payload   BLOB    NOT NULL,                        -- hone.v1.Event
  PRIMARY KEY (job_row, sequence)
) WITHOUT ROWID;

CREATE TABLE model (
  row       INTEGER PRIMARY KEY AUTOINCREMENT,
  id        TEXT    NOT NULL UNIQUE,
  job_row   INTEGER NOT NULL,                        -- of the job that made it, which may have been deleted
  payload   BLOB    NOT NULL                         -- hone.v1.Model
);
