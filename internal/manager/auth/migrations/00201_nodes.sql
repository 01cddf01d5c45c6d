-- +goose Up
-- Each lets one node ask for one certificate. names, a list of DNS names and addresses, is JSON.
CREATE TABLE join_tokens (
    id          TEXT   NOT NULL PRIMARY KEY,
    secret_hash TEXT   NOT NULL,
    role        TEXT   NOT NULL,
    cluster     TEXT   NOT NULL,
    node        TEXT   NOT NULL,
    names       TEXT   NOT NULL,
    life        BIGINT NOT NULL,
    created_by  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    serial      TEXT   NOT NULL,
    revoked_at  BIGINT NOT NULL
);
CREATE INDEX join_tokens_by_end ON join_tokens (expires_at);

-- What was signed. previous is the certificate that this one renewed.
CREATE TABLE certificates (
    serial     TEXT   NOT NULL PRIMARY KEY,
    role       TEXT   NOT NULL,
    cluster    TEXT   NOT NULL,
    node       TEXT   NOT NULL,
    names      TEXT   NOT NULL,
    life       BIGINT NOT NULL,
    previous   TEXT   NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL
);
CREATE INDEX certificates_by_node ON certificates (role, cluster, node);
CREATE INDEX certificates_by_end ON certificates (expires_at);
