-- +goose Up
-- One part of a job, leased by itself. (job_id, number, epoch) is the fencing token of its holder.
CREATE TABLE job_steps (
    job_id      TEXT    NOT NULL,
    number      BIGINT  NOT NULL,
    kind        TEXT    NOT NULL,            -- resolve, local, dispatch
    job_kind    TEXT    NOT NULL,
    cluster     BIGINT  NOT NULL DEFAULT 0,
    tenant      TEXT    NOT NULL,
    priority    INTEGER NOT NULL DEFAULT 0,
    origin      TEXT    NOT NULL DEFAULT '',
    state       TEXT    NOT NULL,            -- waiting, leased, ended, broken, dropped
    ready       BOOLEAN NOT NULL,            -- waiting, and its job neither rests nor ends
    attempt     BIGINT  NOT NULL DEFAULT 0,
    owner       TEXT    NOT NULL DEFAULT '',
    epoch       BIGINT  NOT NULL DEFAULT 0,
    until       BIGINT  NOT NULL DEFAULT 0,
    run_at      BIGINT  NOT NULL DEFAULT 0,
    failure     TEXT    NOT NULL DEFAULT '',
    text        TEXT    NOT NULL DEFAULT '',
    started_at  BIGINT  NOT NULL DEFAULT 0,
    finished_at BIGINT  NOT NULL DEFAULT 0,
    tally       TEXT    NOT NULL DEFAULT '{}',
    targets     BIGINT  NOT NULL DEFAULT 0,  -- how many hosts it reaches
    hosts       BYTEA,                       -- those hosts: JSON, deflated
    PRIMARY KEY (job_id, number)
);
CREATE INDEX job_steps_ready ON job_steps (kind, cluster, tenant, run_at) WHERE ready;
CREATE INDEX job_steps_leased ON job_steps (owner, tenant) WHERE state = 'leased';

-- One content of a step. The four sets hold a bit per host of the step.
CREATE TABLE job_items (
    job_id  TEXT   NOT NULL,
    step    BIGINT NOT NULL,
    number  BIGINT NOT NULL,
    url     TEXT   NOT NULL DEFAULT '',
    want    TEXT   NOT NULL DEFAULT '{}',    -- JSON: what makes the identity, and the size when known
    task_id TEXT   NOT NULL DEFAULT '',
    go_task TEXT   NOT NULL DEFAULT '',      -- the id that plain Dragonfly schedulers compute
    done    BYTEA,
    held    BYTEA,                           -- held it before anything was done
    failed  BYTEA,
    fatal   BYTEA,                           -- of those, what trying again does not help
    bytes   BIGINT NOT NULL DEFAULT 0,       -- moved for it, over all hosts
    PRIMARY KEY (job_id, step, number)
);

-- Only what failed, so that a large job in good health costs little. The sets above know all of it; this
-- table keeps the words of the first thousands.
CREATE TABLE job_target_failures (
    job_id   TEXT   NOT NULL,
    step     BIGINT NOT NULL,
    item     BIGINT NOT NULL,
    host     BIGINT NOT NULL,
    host_id  TEXT   NOT NULL,
    class    TEXT   NOT NULL,
    text     TEXT   NOT NULL DEFAULT '',
    attempts BIGINT NOT NULL DEFAULT 1,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (job_id, step, item, host)
);

-- What happened to a job, in order. Only ever appended to.
CREATE TABLE job_events (
    job_id   TEXT   NOT NULL,
    sequence BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    type     TEXT   NOT NULL,
    data     TEXT   NOT NULL DEFAULT '{}',
    PRIMARY KEY (job_id, sequence)
);

-- One row per tenant: who claims for it holds the row, so that limits are exact.
CREATE TABLE job_lanes (
    tenant TEXT PRIMARY KEY
);

-- Who takes work over a control stream, and when it was last heard.
CREATE TABLE job_workers (
    id      TEXT   PRIMARY KEY,
    cluster BIGINT NOT NULL,
    replica TEXT   NOT NULL,                -- the manager that has its stream
    slots   BIGINT NOT NULL,
    version TEXT   NOT NULL DEFAULT '',
    seen_at BIGINT NOT NULL
);
CREATE INDEX job_workers_by_cluster ON job_workers (cluster, seen_at);

-- Idempotency keys of requests, for a day.
CREATE TABLE job_requests (
    request_key TEXT   PRIMARY KEY,
    hash        TEXT   NOT NULL,
    job_id      TEXT   NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX job_requests_old ON job_requests (expires_at);

-- +goose Down
DROP TABLE job_requests;
DROP TABLE job_workers;
DROP TABLE job_lanes;
DROP TABLE job_events;
DROP TABLE job_target_failures;
DROP TABLE job_items;
DROP TABLE job_steps;
