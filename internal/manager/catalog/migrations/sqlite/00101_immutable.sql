-- +goose Up
-- A version is evidence: the database itself refuses to change one.
-- +goose StatementBegin
CREATE TRIGGER document_versions_stay BEFORE UPDATE ON document_versions BEGIN SELECT RAISE(ABORT, 'a version never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER document_versions_remain BEFORE DELETE ON document_versions BEGIN SELECT RAISE(ABORT, 'a version never goes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_events_stay BEFORE UPDATE ON audit_events BEGIN SELECT RAISE(ABORT, 'an audit event never changes'); END;
-- +goose StatementEnd
