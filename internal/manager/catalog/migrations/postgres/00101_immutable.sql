-- +goose Up
-- A version is evidence: the database itself refuses to change one.
-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of % never changes', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
-- +goose StatementEnd
CREATE TRIGGER document_versions_stay BEFORE UPDATE OR DELETE ON document_versions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_events_stay BEFORE UPDATE ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse_change();
