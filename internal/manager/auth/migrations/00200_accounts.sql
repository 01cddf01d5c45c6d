-- +goose Up
-- One row, counted up with every change of who may do what: what a manager remembers is as old as this number.
CREATE TABLE auth_versions (
    id      BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT INTO auth_versions (id, version) VALUES (1, 1);

-- People and service accounts. password is an argon2id hash, empty when there is none.
CREATE TABLE users (
    id          TEXT    NOT NULL PRIMARY KEY,
    kind        TEXT    NOT NULL,
    name        TEXT    NOT NULL UNIQUE,
    display     TEXT    NOT NULL,
    email       TEXT    NOT NULL,
    password    TEXT    NOT NULL,
    issuer      TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    disabled    BOOLEAN NOT NULL,
    version     BIGINT  NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL,
    seen_at     BIGINT  NOT NULL
);
CREATE UNIQUE INDEX users_by_subject ON users (issuer, subject) WHERE issuer <> '';

-- Custom roles; built-in ones are in the program. grants is JSON.
CREATE TABLE roles (
    name        TEXT   NOT NULL PRIMARY KEY,
    description TEXT   NOT NULL,
    grants      TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

-- Who has which role; cluster '' is everywhere. source is 'local', or the issuer whose groups say so.
CREATE TABLE role_bindings (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT   NOT NULL,
    cluster    TEXT   NOT NULL,
    source     TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (user_id, role, cluster, source)
);
CREATE INDEX role_bindings_by_role ON role_bindings (role);

CREATE TABLE sessions (
    id          TEXT   NOT NULL PRIMARY KEY,
    user_id     TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret_hash TEXT   NOT NULL,
    method      TEXT   NOT NULL,
    address     TEXT   NOT NULL,
    agent       TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    revoked_at  BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- API tokens. scopes is JSON. successor is the token that rotation made of this one.
CREATE TABLE tokens (
    id          TEXT   NOT NULL PRIMARY KEY,
    user_id     TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    secret_hash TEXT   NOT NULL,
    scopes      TEXT   NOT NULL,
    created_by  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    used_from   TEXT   NOT NULL,
    revoked_at  BIGINT NOT NULL,
    successor   TEXT   NOT NULL
);
CREATE INDEX tokens_by_user ON tokens (user_id, id);
CREATE INDEX tokens_by_end ON tokens (expires_at);

CREATE TABLE setup_tokens (
    id          TEXT   NOT NULL PRIMARY KEY,
    secret_hash TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL
);

-- Sign-ins that failed, by hashes of name, and of name and network; whether there is such a user does not matter.
CREATE TABLE sign_in_failures (
    subject      TEXT   NOT NULL PRIMARY KEY,
    failures     BIGINT NOT NULL,
    failed_at    BIGINT NOT NULL,
    locked_until BIGINT NOT NULL
);
CREATE INDEX sign_in_failures_by_time ON sign_in_failures (failed_at);

-- Sign-ins under way at an identity provider.
CREATE TABLE sign_in_flows (
    id          TEXT   NOT NULL PRIMARY KEY,
    secret_hash TEXT   NOT NULL,
    provider    TEXT   NOT NULL,
    return_to   TEXT   NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX sign_in_flows_by_end ON sign_in_flows (expires_at);
