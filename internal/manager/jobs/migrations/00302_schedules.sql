-- +goose Up
CREATE TABLE schedules (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    cron       TEXT    NOT NULL,
    zone       TEXT    NOT NULL DEFAULT 'UTC',
    request    TEXT    NOT NULL,             -- JSON: the job to enqueue
    owner      TEXT    NOT NULL,
    paused     BOOLEAN NOT NULL DEFAULT FALSE,
    next_at    BIGINT  NOT NULL DEFAULT 0,   -- 0: never
    version    BIGINT  NOT NULL DEFAULT 1,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL
);
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at > 0;

-- That a schedule fired for a time is a row of its own: the key makes it happen once, whoever tries.
CREATE TABLE schedule_fires (
    schedule_id TEXT   NOT NULL,
    fire_at     BIGINT NOT NULL,             -- the time it was due
    fired_at    BIGINT NOT NULL,
    job_id      TEXT   NOT NULL DEFAULT '',
    skipped     BIGINT NOT NULL DEFAULT 0,   -- earlier times that passed while nobody ran
    error       TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (schedule_id, fire_at)
);

-- +goose Down
DROP TABLE schedule_fires;
DROP TABLE schedules;
