from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("publishing", "0008_drift_as_data")]
    operations = [
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                name="publishing_deployment_newest", fields=["-created_at", "-number"]
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(name="publishing_deployment_finished", fields=["finished_at"]),
        ),
    ]
