-- +goose Up
-- A key of one column, and the order in which records reclaims.
ALTER TABLE schedule_fires ADD COLUMN id TEXT NOT NULL DEFAULT '';
UPDATE schedule_fires SET id = schedule_id || '/' || fire_at;
CREATE UNIQUE INDEX schedule_fires_by_id ON schedule_fires (id);
CREATE INDEX schedule_fires_old ON schedule_fires (schedule_id, fired_at, id);
DROP INDEX job_requests_old;
CREATE INDEX job_requests_old ON job_requests (expires_at, request_key);

-- +goose Down
DROP INDEX job_requests_old;
CREATE INDEX job_requests_old ON job_requests (expires_at);
DROP INDEX schedule_fires_old;
DROP INDEX schedule_fires_by_id;
ALTER TABLE schedule_fires DROP COLUMN id;
