-- What was found in uploaded data sets, for clients that come back for it; of the bytes that a name had then. It goes with the name.
CREATE TABLE validation (
  row       INTEGER PRIMARY KEY AUTOINCREMENT,       -- the newest is the highest
  name      TEXT    NOT NULL,
  sha256    TEXT    NOT NULL,
  payload   BLOB    NOT NULL,                        -- hone.v1.DatasetValidation
  UNIQUE (name, sha256)
);

CREATE TRIGGER validation_goes_with_its_dataset AFTER DELETE ON dataset
BEGIN
  DELETE FROM validation WHERE name = OLD.name;
END;

CREATE TRIGGER validation_goes_with_its_name AFTER UPDATE OF name ON dataset
BEGIN
  DELETE FROM validation WHERE name = OLD.name;
END;
