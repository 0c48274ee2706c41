from django.apps import AppConfig


class AgentServerConfig(AppConfig):
    name = "agents.server"
    label = "agents_server"
