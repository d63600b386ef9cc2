-- Jobs are counted by state and task without reading their rows.

CREATE INDEX job_by_state_and_task ON job (state, task);

-- Jobs that have ended are forgotten by age.

CREATE INDEX job_by_end ON job (end_time) WHERE end_time > 0;
