-- Searches over settings, and their trials.

CREATE TABLE sweep (
  row         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT    NOT NULL UNIQUE,
  request_id  TEXT    UNIQUE,                        -- NULL: not idempotent
  sent        BLOB    NOT NULL,                      -- hone.v1.SweepSpec, with the request_id
  state       TEXT    NOT NULL CHECK (state IN ('RUNNING', 'STOPPING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  payload     BLOB    NOT NULL                       -- hone.v1.Sweep without trials
);

CREATE INDEX sweep_by_state ON sweep (state, row);

CREATE TABLE sweep_trial (
  sweep_row   INTEGER NOT NULL REFERENCES sweep (row) ON DELETE CASCADE,
  number      INTEGER NOT NULL,
  payload     BLOB    NOT NULL,                      -- hone.v1.Trial
  PRIMARY KEY (sweep_row, number)
) WITHOUT ROWID;
