-- Addresses that are told how jobs go, and what they are to be told: a row is written in the transaction of what it tells.

CREATE TABLE webhook (
  row          INTEGER PRIMARY KEY AUTOINCREMENT,
  project      TEXT    NOT NULL,                     -- whose jobs it is told of
  id           TEXT    NOT NULL,
  secret       TEXT    NOT NULL,                     -- what its deliveries are signed with
  has_metrics  INTEGER NOT NULL,                     -- 1: it waits for metrics, too
  payload      BLOB    NOT NULL,                     -- hone.v1.Webhook without deliveries
  UNIQUE (project, id)
);

CREATE TABLE webhook_delivery (
  row          INTEGER PRIMARY KEY AUTOINCREMENT,
  id           TEXT    NOT NULL UNIQUE,
  webhook_row  INTEGER NOT NULL REFERENCES webhook (row) ON DELETE CASCADE,
  event        TEXT    NOT NULL,
  job_id       TEXT    NOT NULL,                     -- '': of a test
  body         TEXT    NOT NULL,                     -- as it is posted
  state        TEXT    NOT NULL CHECK (state IN ('WAITING', 'DELIVERED', 'FAILED')),
  attempts     INTEGER NOT NULL DEFAULT 0,
  create_time  INTEGER NOT NULL,                     -- times are nanoseconds since 1970
  next_time    INTEGER NOT NULL,                     -- of one that waits: not before
  message      TEXT    NOT NULL DEFAULT ''           -- what went wrong the last time
);

CREATE INDEX webhook_delivery_due ON webhook_delivery (next_time, row) WHERE state = 'WAITING';
CREATE INDEX webhook_delivery_by_webhook ON webhook_delivery (webhook_row, row);

-- Thresholds that a job that has not ended has passed: each is told once.
CREATE TABLE webhook_passed (
  job_row      INTEGER NOT NULL,
  webhook_row  INTEGER NOT NULL,
  metric       TEXT    NOT NULL,
  PRIMARY KEY (job_row, webhook_row, metric)
) WITHOUT ROWID;

CREATE TRIGGER webhook_passed_goes_with_its_job AFTER DELETE ON job
BEGIN
  DELETE FROM webhook_passed WHERE job_row = OLD.row;
END;
