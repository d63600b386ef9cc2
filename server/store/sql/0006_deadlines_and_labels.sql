-- A deadline holds for a job that is paused, too.

DROP TRIGGER job_state_change;

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
  'PAUSED>CANCELLED',
  'PAUSED>FAILED'
)
BEGIN
  SELECT RAISE(ABORT, 'change of state not allowed');
END;

DROP INDEX job_by_deadline;
CREATE INDEX job_by_deadline ON job (deadline) WHERE state IN ('QUEUED', 'PAUSED') AND deadline > 0;

-- Jobs of a label, in order of arrival.

CREATE INDEX job_label_by_label ON job_label (label, job_row);
