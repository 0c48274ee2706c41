"""`python -m tests.e2e`: commit the scene, in a process of its own, and print its ids and sessions."""

import json

import django


def main() -> None:
    django.setup()
    from django.test import Client

    from tests.e2e.definitions import define
    from tests.e2e.scene import Scene

    scene = Scene()
    sessions = {}
    for name, person in scene.people.items():
        client = Client()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        sessions[name] = client.cookies["sessionid"].value
    rows = scene.clusters | scene.publishes | define(scene)
    rows["live-product"] = scene.publishes["live"].product
    rows["gateway"], rows["certificate"] = scene.gateway, scene.certificate
    rows["plan"] = scene.publishes["live"].plans.first()
    rows["live-deployment"] = scene.publishes["live"].deployments.first()
    print(
        json.dumps({"ids": {name: str(row.pk) for name, row in rows.items()}, "sessions": sessions})
    )


main()
