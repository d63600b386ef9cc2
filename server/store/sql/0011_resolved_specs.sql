-- hone.v1.JobSpec with every default written out: what is trained, whatever version does it, and what UpdateJob changes. `spec` stays as it
-- was sent.

ALTER TABLE job ADD COLUMN resolved BLOB NOT NULL DEFAULT x'';

UPDATE job SET resolved = resolved_spec(spec);

-- The id that the job's model gets; that of the job, where an older version stored it.

ALTER TABLE job ADD COLUMN makes_model TEXT NOT NULL DEFAULT '';

UPDATE job SET makes_model = id;

-- What lists of models are narrowed by.

ALTER TABLE model ADD COLUMN task TEXT NOT NULL DEFAULT '';
ALTER TABLE model ADD COLUMN job_id TEXT NOT NULL DEFAULT '';  -- '': no job made it

UPDATE model SET task = model_text(payload, 'task'), job_id = replace(model_text(payload, 'job'), 'jobs/', '');
