# The agent and the Envoy it drives. Build from the checkout:
#   docker build -f deploy/kubernetes/agent.Dockerfile -t imp-agent:0.1.0 .
FROM python:3.11-slim-bookworm
COPY requirements/agent.txt requirements/agent.in /src/requirements/
RUN pip install --no-cache-dir --require-hashes -r /src/requirements/agent.txt
COPY pyproject.toml LICENSE NOTICE /src/
COPY agents /src/agents
RUN pip install --no-cache-dir --no-deps /src && rm -rf /src \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin imp-agent
USER 10001:10001
ENTRYPOINT ["imp-agent"]
