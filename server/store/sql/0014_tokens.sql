-- What callers say who they are by. The token itself is not here.

CREATE TABLE token (
  row          INTEGER PRIMARY KEY AUTOINCREMENT,
  id           TEXT    NOT NULL,
  hash         TEXT    NOT NULL UNIQUE,  -- lower-case hexadecimal SHA-256 of the token
  role         TEXT    NOT NULL CHECK (role IN ('viewer', 'submitter', 'operator', 'admin')),
  project      TEXT    NOT NULL,         -- '': none
  create_time  INTEGER NOT NULL,         -- times are nanoseconds since 1970
  expire_time  INTEGER,                  -- NULL: never
  revoke_time  INTEGER,                  -- NULL: it is not
  use_time     INTEGER                   -- the newest use, about; NULL: none
);

-- A name is free again when its token is revoked.
CREATE UNIQUE INDEX token_by_id ON token (id) WHERE revoke_time IS NULL;
