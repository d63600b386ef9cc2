-- The step of the newest checkpoint that a job told of, or begins with; 0: there is none. An attempt that finds none so new has lost it.

ALTER TABLE job ADD COLUMN checkpoint_step INTEGER NOT NULL DEFAULT 0;

-- Its checkpoints go, or are gone: no job begins with them any more.

ALTER TABLE job ADD COLUMN checkpoints_removed INTEGER NOT NULL DEFAULT 0;
