import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()

# What is loaded by now stays: no collection looks at it again. And a page makes thousands of objects that
# die with it, so Python's default of a collection every 700 allocations would look for nothing.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)
