from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("publishing", "0003_drafts_know_their_writer")]
    operations = [
        migrations.AddField(
            model_name="publishrevision",
            name="secret_ids",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Func(
                    models.F("document"),
                    template="jsonb_path_query_array((%(expressions)s)::jsonb, '$.listeners[*].tls.secret_id')",
                ),
                output_field=models.JSONField(),
            ),
        )
    ]
