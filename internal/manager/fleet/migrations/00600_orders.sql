-- +goose Up
-- What schedulers are to do about a host or a zone. Every scheduler that is attached to some manager gets it once.
CREATE TABLE host_orders (
    id         TEXT   NOT NULL PRIMARY KEY,
    verb       TEXT   NOT NULL,               -- drain, undrain, forget, confirm, lift
    whom       TEXT   NOT NULL,               -- a host's id, or a zone
    force      BOOLEAN NOT NULL,              -- forget: also a host that is well
    lift       BIGINT NOT NULL,               -- microseconds: how long the guard is lifted
    reason     TEXT   NOT NULL,
    actor      TEXT   NOT NULL,               -- id of whoever asked
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL                -- a scheduler that comes later does not get it
);
CREATE INDEX host_orders_open ON host_orders (expires_at, id);
CREATE TABLE host_order_answers (
    order_id  TEXT   NOT NULL,
    scheduler TEXT   NOT NULL,
    error     TEXT   NOT NULL,                -- empty: done
    at        BIGINT NOT NULL,
    PRIMARY KEY (order_id, scheduler)
);
