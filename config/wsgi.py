import os

from django.core.wsgi import get_wsgi_application

from core import memory

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()
memory.settle(oldest=20)
