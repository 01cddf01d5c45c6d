-- +goose Up
CREATE TABLE works (
    id           TEXT   NOT NULL PRIMARY KEY,
    kind         TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    parent_id    TEXT   NOT NULL DEFAULT '',
    spec         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    finalized_at BIGINT NOT NULL DEFAULT 0,
    pinned_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX works_by_kind ON works (kind, state, finalized_at, id);
CREATE INDEX works_by_parent ON works (parent_id) WHERE parent_id <> '';
CREATE INDEX works_pinned ON works (pinned_until) WHERE pinned_until > 0;
CREATE TABLE work_parts (
    work_id TEXT   NOT NULL,
    number  BIGINT NOT NULL,
    text    TEXT   NOT NULL,
    PRIMARY KEY (work_id, number)
);
