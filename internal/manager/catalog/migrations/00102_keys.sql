-- +goose Up
-- What all managers of a database have to agree on, and nobody outside has to know.
CREATE TABLE shared_keys (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
