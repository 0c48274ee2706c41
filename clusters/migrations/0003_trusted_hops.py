import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0002_regions"),
    ]

    operations = [
        migrations.AddField(
            model_name="cluster",
            name="trusted_hops",
            field=models.PositiveSmallIntegerField(
                default=0,
                validators=[django.core.validators.MaxValueValidator(10)],
                verbose_name="trusted proxies",
            ),
        ),
        migrations.AddConstraint(
            model_name="cluster",
            constraint=models.CheckConstraint(
                condition=models.Q(("trusted_hops__lte", 10)),
                name="clusters_cluster_trusted_hops_few",
            ),
        ),
    ]
