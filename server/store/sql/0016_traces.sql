-- The trace context (W3C) of the call that has made a job; '': the call had none.

ALTER TABLE job ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
