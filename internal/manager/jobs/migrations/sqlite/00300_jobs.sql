-- +goose Up
-- A job, and what the machine knows of it. Instants are microseconds since 1970, 0 is none.
CREATE TABLE jobs (
    compat_id    INTEGER PRIMARY KEY AUTOINCREMENT, -- for interfaces that need a number
    id           TEXT    NOT NULL UNIQUE,
    kind         TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    owner        TEXT    NOT NULL,           -- who asked
    application  TEXT    NOT NULL DEFAULT '',
    tenant       TEXT    NOT NULL,           -- whose turn it takes: the application, else the owner
    priority     INTEGER NOT NULL DEFAULT 0,
    origin       TEXT    NOT NULL DEFAULT '', -- host that the bytes come from
    spec         TEXT    NOT NULL,           -- JSON, without secrets
    secrets      BYTEA,                      -- sealed request headers; gone when the job is over
    unique_key   TEXT    NOT NULL DEFAULT '',
    active_key   TEXT    UNIQUE,             -- unique_key while the job is not over
    parent_id    TEXT    NOT NULL DEFAULT '',
    schedule_id  TEXT    NOT NULL DEFAULT '',
    paused       BOOLEAN NOT NULL DEFAULT FALSE,
    stop         TEXT    NOT NULL DEFAULT '',
    max_attempts BIGINT  NOT NULL,
    threshold    BIGINT  NOT NULL,
    start_by     BIGINT  NOT NULL DEFAULT 0,
    run_for      BIGINT  NOT NULL DEFAULT 0,
    failure      TEXT    NOT NULL DEFAULT '',
    text         TEXT    NOT NULL DEFAULT '',
    tally        TEXT    NOT NULL DEFAULT '{}', -- JSON, summed over the steps
    next_tick    BIGINT  NOT NULL DEFAULT 0,  -- when a lease or a deadline is to be looked at
    event_seq    BIGINT  NOT NULL DEFAULT 0,
    progress_at  BIGINT  NOT NULL DEFAULT 0,  -- of the last progress event
    version      BIGINT  NOT NULL DEFAULT 1,
    created_at   BIGINT  NOT NULL,
    started_at   BIGINT  NOT NULL DEFAULT 0,
    updated_at   BIGINT  NOT NULL,
    finalized_at BIGINT  NOT NULL DEFAULT 0,
    pinned_until BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX jobs_by_state ON jobs (state, finalized_at, id);
CREATE INDEX jobs_by_kind ON jobs (kind, state, finalized_at, id); -- the order in which records reclaims
CREATE INDEX jobs_pinned ON jobs (pinned_until) WHERE pinned_until > 0;
CREATE INDEX jobs_by_owner ON jobs (owner, id);
CREATE INDEX jobs_by_parent ON jobs (parent_id) WHERE parent_id <> '';
CREATE INDEX jobs_by_schedule ON jobs (schedule_id, id) WHERE schedule_id <> '';
CREATE INDEX jobs_to_tick ON jobs (next_tick) WHERE next_tick > 0;

-- +goose Down
DROP TABLE jobs;
