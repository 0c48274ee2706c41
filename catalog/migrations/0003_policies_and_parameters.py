from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0002_api_imports"),
    ]

    operations = [
        migrations.AddField(
            model_name="route",
            name="retry_unsafe",
            field=models.BooleanField(
                default=False,
                help_text="Repeat POST and PATCH, too, although the backend may have seen the call.",
                verbose_name="retry unsafe methods",
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="kind",
            field=models.CharField(
                choices=[
                    ("cors", "CORS"),
                    ("headers", "Header transforms"),
                    ("ip", "IP allow and deny lists"),
                    ("request_size", "Request size"),
                ],
                max_length=16,
                verbose_name="kind",
            ),
        ),
        migrations.RemoveConstraint(
            model_name="policy",
            name="catalog_policy_kind_known",
        ),
        migrations.AddConstraint(
            model_name="policy",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["cors", "headers", "ip", "request_size"])),
                name="catalog_policy_kind_known",
            ),
        ),
    ]
