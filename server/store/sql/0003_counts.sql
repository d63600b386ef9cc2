-- Jobs are counted by state and task without reading their rows.

CREATE INDEX job_by_state_and_task ON job (state, task);
