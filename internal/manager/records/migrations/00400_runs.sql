-- +goose Up
-- What a policy would remove, frozen. A scheduled run makes one, and so does every dry run.
CREATE TABLE gc_plans (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    version    BIGINT NOT NULL,            -- of the policy
    hash       TEXT   NOT NULL,            -- of the policy
    cause      TEXT   NOT NULL,            -- trigger
    requester  TEXT   NOT NULL,            -- JSON
    body       TEXT   NOT NULL,            -- JSON: what people see
    frozen     TEXT   NOT NULL,            -- JSON: what the executor needs
    made_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX gc_plans_by_kind ON gc_plans (kind, made_at, id);
CREATE INDEX gc_plans_old ON gc_plans (made_at, id);

-- One plan being carried out. Counters and cursor move only in the transaction that removes the rows.
CREATE TABLE gc_runs (
    id           TEXT    NOT NULL PRIMARY KEY,
    kind         TEXT    NOT NULL,
    version      BIGINT  NOT NULL,
    cause        TEXT    NOT NULL,
    requester    TEXT    NOT NULL,
    plan_id      TEXT    NOT NULL,         -- empty until the executor has made one
    resumes      TEXT    NOT NULL DEFAULT '',
    confirmed    BOOLEAN NOT NULL DEFAULT FALSE,
    state        TEXT    NOT NULL,
    executor     TEXT    NOT NULL DEFAULT '',
    token        BIGINT  NOT NULL DEFAULT 0,
    cursor       TEXT    NOT NULL DEFAULT '{}',
    budget       BIGINT  NOT NULL DEFAULT 0, -- most rows that it may still remove
    eligible     BIGINT  NOT NULL DEFAULT 0,
    scanned      BIGINT  NOT NULL DEFAULT 0,
    deleted      BIGINT  NOT NULL DEFAULT 0,
    children     BIGINT  NOT NULL DEFAULT 0,
    vetoed       TEXT    NOT NULL DEFAULT '[]',
    batches      BIGINT  NOT NULL DEFAULT 0,
    busy         BIGINT  NOT NULL DEFAULT 0, -- microseconds
    waits        BIGINT  NOT NULL DEFAULT 0,
    code         TEXT    NOT NULL DEFAULT '',
    message      TEXT    NOT NULL DEFAULT '',
    created_at   BIGINT  NOT NULL,
    started_at   BIGINT  NOT NULL DEFAULT 0,
    heartbeat_at BIGINT  NOT NULL DEFAULT 0,
    finished_at  BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX gc_runs_by_kind ON gc_runs (kind, state, finished_at, id);
CREATE INDEX gc_runs_open ON gc_runs (kind, id) WHERE state IN ('queued', 'running', 'paused', 'cancelling');

CREATE TABLE gc_run_batches (
    id        TEXT   NOT NULL PRIMARY KEY,
    run_id    TEXT   NOT NULL,
    sequence  BIGINT NOT NULL,
    first_key TEXT   NOT NULL,
    last_key  TEXT   NOT NULL,
    deleted   BIGINT NOT NULL,
    children  BIGINT NOT NULL,
    took      BIGINT NOT NULL,             -- microseconds
    at        BIGINT NOT NULL,
    UNIQUE (run_id, sequence)
);
CREATE INDEX gc_run_batches_old ON gc_run_batches (at, id);
