from django.db import migrations

APPEND_ONLY = """
CREATE FUNCTION accounts_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'accounts_auditevent is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER accounts_audit_append_only
    BEFORE UPDATE OR DELETE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_audit_append_only();

-- Apart from the other, because tests that commit empty the tables afterwards.
CREATE TRIGGER accounts_audit_no_truncate
    BEFORE TRUNCATE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_audit_append_only();
"""
UNDO = """
DROP TRIGGER accounts_audit_append_only ON accounts_auditevent;
DROP TRIGGER accounts_audit_no_truncate ON accounts_auditevent;
DROP FUNCTION accounts_audit_append_only();
"""


class Migration(migrations.Migration):
    """The audit trail: rows come in and stay as they are."""

    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunSQL(APPEND_ONLY, UNDO)]
