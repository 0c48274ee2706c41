from django.db import migrations

IMMUTABLE = """
CREATE FUNCTION publishing_revision_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'publishing_publishrevision %: a revision never changes', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER publishing_revision_immutable
    BEFORE UPDATE ON publishing_publishrevision FOR EACH ROW
    WHEN ((OLD.publish_id, OLD.number, OLD.digest, OLD.document)
          IS DISTINCT FROM (NEW.publish_id, NEW.number, NEW.digest, NEW.document))
    EXECUTE FUNCTION publishing_revision_immutable();

ALTER TABLE publishing_publishrevision ADD CONSTRAINT publishing_revision_digest_is_of_document
    CHECK (digest = encode(sha256(convert_to(document, 'UTF8')), 'hex'));
"""
UNDO = """
ALTER TABLE publishing_publishrevision DROP CONSTRAINT publishing_revision_digest_is_of_document;
DROP TRIGGER publishing_revision_immutable ON publishing_publishrevision;
DROP FUNCTION publishing_revision_immutable();
"""


class Migration(migrations.Migration):
    """What was once sent to gateways stays readable as it was, and its name is its content's hash."""

    dependencies = [("publishing", "0001_initial")]
    operations = [migrations.RunSQL(IMMUTABLE, UNDO)]
