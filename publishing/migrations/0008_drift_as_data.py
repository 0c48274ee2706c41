import re

from django.db import migrations, models

WORDS = re.compile(r"(?:serves revision (\w{1,8})|does not serve it)(?:: (.*))?", re.DOTALL)


def read_words(apps, schema_editor):
    """What was stored as a sentence."""
    events = apps.get_model("publishing", "PublishEvent").objects.filter(kind="drifted")
    for event in events.exclude(note="").iterator():
        if found := WORDS.fullmatch(event.note):
            event.served, event.note = found[1] or "", found[2] or ""
            event.save(update_fields=["served", "note"])


class Migration(migrations.Migration):
    dependencies = [("publishing", "0007_index_of_secrets")]
    operations = [
        migrations.AddField(
            model_name="publishevent",
            name="served",
            field=models.CharField(blank=True, editable=False, max_length=64),
        ),
        migrations.RunPython(read_words, migrations.RunPython.noop),
    ]
