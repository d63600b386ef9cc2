-- Data sets, which jobs use them, and uploads that are not whole yet.

CREATE TABLE dataset (
  row          INTEGER PRIMARY KEY AUTOINCREMENT,
  name         TEXT    UNIQUE,                       -- NULL: deleted by force; jobs still need its bytes
  format       INTEGER NOT NULL,                     -- hone.v1.Dataset.Format
  bytes        INTEGER NOT NULL CHECK (bytes > 0),
  sha256       TEXT    NOT NULL CHECK (length(sha256) = 64),
  create_time  INTEGER NOT NULL
);

CREATE INDEX dataset_by_bytes ON dataset (sha256, format);

CREATE TABLE dataset_use (
  job_row      INTEGER PRIMARY KEY REFERENCES job (row) ON DELETE CASCADE,
  dataset_row  INTEGER NOT NULL REFERENCES dataset (row) ON DELETE CASCADE
);

CREATE INDEX dataset_use_by_dataset ON dataset_use (dataset_row);

CREATE TABLE upload (
  id           TEXT    PRIMARY KEY,
  name         TEXT    NOT NULL,
  format       INTEGER NOT NULL,
  bytes        INTEGER NOT NULL CHECK (bytes > 0),
  sha256       TEXT    NOT NULL CHECK (length(sha256) = 64),
  touch_time   INTEGER NOT NULL,                     -- when somebody last sent or asked
  UNIQUE (name, format, bytes, sha256)
) WITHOUT ROWID;
