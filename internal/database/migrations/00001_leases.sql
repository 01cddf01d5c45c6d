-- +goose Up
-- One row per scope: who may act, and which acting this is. A row stays when its lease ends, so that the token only grows.
CREATE TABLE leases (
    scope      TEXT   NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    token      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
