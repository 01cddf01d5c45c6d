-- +goose Up
-- The last number given of each kind of thing that old interfaces want a number for.
CREATE TABLE compat_numbers (
    name TEXT   NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);

-- What is in force of each document. A version is a row of its own that nothing ever changes.
CREATE TABLE documents (
    class   TEXT   NOT NULL,               -- gc_policy, setting, cluster
    name    TEXT   NOT NULL,
    version BIGINT NOT NULL,               -- in force; 0: none yet
    newest  BIGINT NOT NULL,               -- last number given
    activated_at BIGINT NOT NULL,
    PRIMARY KEY (class, name)
);
CREATE TABLE document_versions (
    class      TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    hash       TEXT   NOT NULL,
    body       TEXT   NOT NULL,            -- JSON, canonical
    author     TEXT   NOT NULL,            -- JSON
    reason     TEXT   NOT NULL,
    diff       TEXT   NOT NULL,            -- JSON, against what was in force
    rolled_back_from BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (class, name, version)
);
-- Each time a version came into force, and who saw to it.
CREATE TABLE document_activations (
    id       TEXT   NOT NULL PRIMARY KEY,
    class    TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    version  BIGINT NOT NULL,
    actor    TEXT   NOT NULL,
    at       BIGINT NOT NULL
);
CREATE INDEX document_activations_by_version ON document_activations (class, name, version, at);

CREATE TABLE audit_events (
    id         TEXT   NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    actor_kind TEXT   NOT NULL,
    actor_id   TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    resource   TEXT   NOT NULL,
    result     TEXT   NOT NULL,
    request_id TEXT   NOT NULL,
    body       TEXT   NOT NULL             -- JSON: the event
);
CREATE INDEX audit_events_by_time ON audit_events (at, id);
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, id);
CREATE INDEX audit_events_by_resource ON audit_events (resource, id);

CREATE TABLE idempotency_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    principal  TEXT   NOT NULL,
    key        TEXT   NOT NULL,
    route      TEXT   NOT NULL,
    hash       TEXT   NOT NULL,            -- of the request's body
    status     INTEGER NOT NULL,
    answer     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    UNIQUE (principal, key)
);
CREATE INDEX idempotency_keys_old ON idempotency_keys (expires_at, id);

CREATE TABLE clusters (
    id         TEXT    NOT NULL PRIMARY KEY,
    compat_id  BIGINT  NOT NULL UNIQUE,
    name       TEXT    NOT NULL UNIQUE,
    is_default BOOLEAN NOT NULL,
    version    BIGINT  NOT NULL,           -- of the document in force
    body       TEXT    NOT NULL,           -- JSON: the document in force
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL
);
CREATE UNIQUE INDEX clusters_default ON clusters (is_default) WHERE is_default;

-- Schedulers and seed peers: who announces itself, and keeps itself alive.
CREATE TABLE members (
    id            TEXT    NOT NULL PRIMARY KEY,
    compat_id     BIGINT  NOT NULL,
    kind          TEXT    NOT NULL,        -- scheduler, seed_peer
    cluster_id    TEXT    NOT NULL,
    hostname      TEXT    NOT NULL,
    ip            TEXT    NOT NULL,
    port          INTEGER NOT NULL,
    download_port INTEGER NOT NULL,
    idc           TEXT    NOT NULL,
    location      TEXT    NOT NULL,
    features      TEXT    NOT NULL,        -- JSON list
    state         TEXT    NOT NULL,        -- active, inactive
    draining      BOOLEAN NOT NULL,
    seen_at       BIGINT  NOT NULL,
    version       BIGINT  NOT NULL,
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL,
    UNIQUE (kind, compat_id),
    UNIQUE (kind, cluster_id, hostname, ip)
);
CREATE INDEX members_by_state ON members (kind, state, seen_at);

-- A host as all schedulers together see it, and as each of them does.
CREATE TABLE hosts (
    id         TEXT   NOT NULL PRIMARY KEY,
    cluster_id TEXT   NOT NULL,
    hostname   TEXT   NOT NULL,
    ip         TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    body       TEXT   NOT NULL,            -- JSON: what it says of itself
    epoch      BIGINT NOT NULL,
    verdict    TEXT   NOT NULL,
    since      BIGINT NOT NULL,            -- of the verdict
    first_seen BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);
CREATE INDEX hosts_by_cluster ON hosts (cluster_id, id);
CREATE INDEX hosts_by_verdict ON hosts (verdict, id);
CREATE TABLE host_views (
    host_id   TEXT   NOT NULL,
    reporter  TEXT   NOT NULL,
    epoch     BIGINT NOT NULL,
    verdict   TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (host_id, reporter)
);
CREATE TABLE host_events (
    id       TEXT   NOT NULL PRIMARY KEY,
    host_id  TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    epoch    BIGINT NOT NULL,
    verdict  TEXT   NOT NULL,
    before   TEXT   NOT NULL,
    reporter TEXT   NOT NULL,
    detail   TEXT   NOT NULL
);
CREATE INDEX host_events_by_host ON host_events (host_id, id);
CREATE INDEX host_events_by_time ON host_events (at, id);

CREATE TABLE applications (
    id         TEXT   NOT NULL PRIMARY KEY,
    compat_id  BIGINT NOT NULL UNIQUE,
    name       TEXT   NOT NULL UNIQUE,
    url        TEXT   NOT NULL,
    bio        TEXT   NOT NULL,
    priority   TEXT   NOT NULL,            -- JSON
    owner      TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
