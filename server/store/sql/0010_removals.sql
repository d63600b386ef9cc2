-- Folders of the data directory that are to be removed: 'run' and 'model' are of what the store has forgotten; 'draft' is a model's whose job
-- has not ended yet, to be removed by the next server unless that end is stored. A row is there before its folder belongs to nobody, and until
-- the folder is gone.
CREATE TABLE removal (
  kind  TEXT NOT NULL CHECK (kind IN ('run', 'model', 'draft')),
  id    TEXT NOT NULL,                               -- of the job or the model
  PRIMARY KEY (kind, id)
) WITHOUT ROWID;
