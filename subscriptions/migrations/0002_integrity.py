"""Two rules that Django's constraints cannot say."""

from django.db import migrations

PLAN_OF_PUBLISH = """
ALTER TABLE subscriptions_plan
    ADD CONSTRAINT subscriptions_plan_with_publish UNIQUE (id, publish_id);
ALTER TABLE subscriptions_subscription
    ADD CONSTRAINT subscriptions_subscription_plan_of_publish
    FOREIGN KEY (plan_id, publish_id) REFERENCES subscriptions_plan (id, publish_id);
"""
NO_PLAN_OF_PUBLISH = """
ALTER TABLE subscriptions_subscription DROP CONSTRAINT subscriptions_subscription_plan_of_publish;
ALTER TABLE subscriptions_plan DROP CONSTRAINT subscriptions_plan_with_publish;
"""
# A publish takes its plans and closed subscriptions along when it is deleted, but never an open one.
OPEN_STAYS = """
CREATE FUNCTION subscriptions_open_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Subscription % is %: it cannot be deleted.', OLD.id, OLD.status
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'subscriptions_subscription_open_stays',
              TABLE = 'subscriptions_subscription';
END $$;
CREATE TRIGGER subscriptions_subscription_open_stays
    BEFORE DELETE ON subscriptions_subscription FOR EACH ROW
    WHEN (OLD.status IN ('pending', 'active', 'suspended'))
    EXECUTE FUNCTION subscriptions_open_stays();
"""
NO_OPEN_STAYS = """
DROP TRIGGER subscriptions_subscription_open_stays ON subscriptions_subscription;
DROP FUNCTION subscriptions_open_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0001_initial")]

    operations = [
        migrations.RunSQL(PLAN_OF_PUBLISH, NO_PLAN_OF_PUBLISH),
        migrations.RunSQL(OPEN_STAYS, NO_OPEN_STAYS),
    ]
