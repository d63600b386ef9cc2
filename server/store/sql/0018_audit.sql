-- Who did what: calls that changed something, in the transaction of the change, and calls that were refused.

CREATE TABLE audit (
  row         INTEGER PRIMARY KEY AUTOINCREMENT,
  time        INTEGER NOT NULL,                      -- nanoseconds since 1970
  caller      TEXT    NOT NULL,
  role        TEXT    NOT NULL,
  project     TEXT    NOT NULL,
  peer        TEXT    NOT NULL,
  rpc         TEXT    NOT NULL,
  resource    TEXT    NOT NULL,
  request_id  TEXT    NOT NULL,
  code        TEXT    NOT NULL
);

CREATE INDEX audit_by_time ON audit (time);
CREATE INDEX audit_by_caller ON audit (caller, row);
CREATE INDEX audit_by_resource ON audit (resource, row);
