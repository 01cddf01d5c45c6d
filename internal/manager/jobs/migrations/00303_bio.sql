-- +goose Up
-- What somebody says of a job, for interfaces that know such a thing.
ALTER TABLE jobs ADD COLUMN bio TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE jobs DROP COLUMN bio;
