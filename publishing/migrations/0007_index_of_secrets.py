from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("publishing", "0006_what_agents_applied")]
    operations = [
        migrations.AddIndex(
            model_name="publishrevision",
            index=models.Index(
                name="publishing_revision_secrets",
                fields=["publish"],
                condition=models.Q(("secret_ids", []), _negated=True),
            ),
        )
    ]
