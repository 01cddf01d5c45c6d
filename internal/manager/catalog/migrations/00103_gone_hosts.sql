-- +goose Up
-- For the retention of hosts that are gone.
CREATE INDEX hosts_by_since ON hosts (verdict, since, id);
