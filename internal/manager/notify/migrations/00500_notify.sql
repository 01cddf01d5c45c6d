-- +goose Up
-- What happened. Written in the transaction of the cause, numbered after it.
CREATE TABLE events (
    id       TEXT   PRIMARY KEY,
    at       BIGINT NOT NULL,
    sequence BIGINT NOT NULL DEFAULT 0,    -- 0: not yet numbered
    type     TEXT   NOT NULL,
    resource TEXT   NOT NULL,
    cluster  TEXT   NOT NULL,
    targets  TEXT   NOT NULL DEFAULT '[]', -- JSON: names; none is all
    body     TEXT   NOT NULL               -- JSON: the event
);
CREATE UNIQUE INDEX events_by_sequence ON events (sequence) WHERE sequence > 0;
CREATE INDEX events_unnumbered ON events (id) WHERE sequence = 0;
CREATE INDEX events_old ON events (at, id);

-- The last number given. Who numbers holds the row.
CREATE TABLE event_numbers (
    name TEXT   PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO event_numbers (name, last) VALUES ('events', 0);

-- Who wants to know.
CREATE TABLE notification_targets (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    url        TEXT    NOT NULL,
    types      TEXT    NOT NULL,           -- JSON: patterns of types
    secret     BYTEA   NOT NULL,           -- sealed
    enabled    BOOLEAN NOT NULL,
    version    BIGINT  NOT NULL,
    created_by TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    told_at    BIGINT  NOT NULL DEFAULT 0, -- last success
    failed_at  BIGINT  NOT NULL DEFAULT 0, -- last failure
    error      TEXT    NOT NULL DEFAULT '' -- of the last failure
);

-- One event that one target is to be told of.
CREATE TABLE notification_deliveries (
    id         TEXT   PRIMARY KEY,
    event_id   TEXT   NOT NULL,
    target_id  TEXT   NOT NULL,
    state      TEXT   NOT NULL,            -- waiting, delivered, given_up
    attempts   BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL,            -- not before; while one is under way: when it counts as lost
    status     BIGINT NOT NULL DEFAULT 0,  -- of the last answer
    error      TEXT   NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX notification_deliveries_due ON notification_deliveries (next_at) WHERE state = 'waiting';
CREATE INDEX notification_deliveries_by_target ON notification_deliveries (target_id, id);
CREATE INDEX notification_deliveries_by_event ON notification_deliveries (event_id);

-- +goose Down
DROP TABLE notification_deliveries;
DROP TABLE notification_targets;
DROP TABLE event_numbers;
DROP TABLE events;
