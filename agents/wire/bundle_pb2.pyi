from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Manifest(_message.Message):
    __slots__ = ("generation", "access_version", "lineage", "cluster_id", "agent_count", "denied_networks", "allowed_networks", "publishes", "withdrawals", "trusted_hops", "secrets")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ACCESS_VERSION_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    DENIED_NETWORKS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_NETWORKS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHES_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWALS_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_HOPS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    generation: int
    access_version: int
    lineage: str
    cluster_id: str
    agent_count: int
    denied_networks: _containers.RepeatedScalarFieldContainer[str]
    allowed_networks: _containers.RepeatedScalarFieldContainer[str]
    publishes: _containers.RepeatedCompositeFieldContainer[Wanted]
    withdrawals: _containers.RepeatedCompositeFieldContainer[Absent]
    trusted_hops: int
    secrets: _containers.RepeatedCompositeFieldContainer[SecretVersion]
    def __init__(self, generation: _Optional[int] = ..., access_version: _Optional[int] = ..., lineage: _Optional[str] = ..., cluster_id: _Optional[str] = ..., agent_count: _Optional[int] = ..., denied_networks: _Optional[_Iterable[str]] = ..., allowed_networks: _Optional[_Iterable[str]] = ..., publishes: _Optional[_Iterable[_Union[Wanted, _Mapping]]] = ..., withdrawals: _Optional[_Iterable[_Union[Absent, _Mapping]]] = ..., trusted_hops: _Optional[int] = ..., secrets: _Optional[_Iterable[_Union[SecretVersion, _Mapping]]] = ...) -> None: ...

class SecretVersion(_message.Message):
    __slots__ = ("id", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Wanted(_message.Message):
    __slots__ = ("publish_id", "revision", "deployment_id")
    PUBLISH_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    publish_id: str
    revision: str
    deployment_id: str
    def __init__(self, publish_id: _Optional[str] = ..., revision: _Optional[str] = ..., deployment_id: _Optional[str] = ...) -> None: ...

class Absent(_message.Message):
    __slots__ = ("publish_id", "deployment_id")
    PUBLISH_ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    publish_id: str
    deployment_id: str
    def __init__(self, publish_id: _Optional[str] = ..., deployment_id: _Optional[str] = ...) -> None: ...

class Bundle(_message.Message):
    __slots__ = ("schema", "publish_id", "host", "listeners", "auth", "routes", "upstreams")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    AUTH_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    UPSTREAMS_FIELD_NUMBER: _ClassVar[int]
    schema: int
    publish_id: str
    host: str
    listeners: _containers.RepeatedCompositeFieldContainer[Listener]
    auth: Auth
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    upstreams: _containers.RepeatedCompositeFieldContainer[Upstream]
    def __init__(self, schema: _Optional[int] = ..., publish_id: _Optional[str] = ..., host: _Optional[str] = ..., listeners: _Optional[_Iterable[_Union[Listener, _Mapping]]] = ..., auth: _Optional[_Union[Auth, _Mapping]] = ..., routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ..., upstreams: _Optional[_Iterable[_Union[Upstream, _Mapping]]] = ...) -> None: ...

class Listener(_message.Message):
    __slots__ = ("port", "protocol", "tls")
    PORT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    port: int
    protocol: str
    tls: Tls
    def __init__(self, port: _Optional[int] = ..., protocol: _Optional[str] = ..., tls: _Optional[_Union[Tls, _Mapping]] = ...) -> None: ...

class Tls(_message.Message):
    __slots__ = ("secret_id",)
    SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    secret_id: str
    def __init__(self, secret_id: _Optional[str] = ...) -> None: ...

class Secret(_message.Message):
    __slots__ = ("id", "version", "tls")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    tls: TlsSecret
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ..., tls: _Optional[_Union[TlsSecret, _Mapping]] = ...) -> None: ...

class TlsSecret(_message.Message):
    __slots__ = ("certificate_chain", "private_key")
    CERTIFICATE_CHAIN_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    certificate_chain: str
    private_key: str
    def __init__(self, certificate_chain: _Optional[str] = ..., private_key: _Optional[str] = ...) -> None: ...

class Auth(_message.Message):
    __slots__ = ("mode", "issuer", "audience", "scopes")
    MODE_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    mode: str
    issuer: str
    audience: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, mode: _Optional[str] = ..., issuer: _Optional[str] = ..., audience: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("id", "match", "path", "methods", "rewrite", "timeout_ms", "retries", "upstream_id", "set_request_headers", "set_response_headers", "remove_request_headers", "remove_response_headers", "retry_unsafe")
    ID_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    REWRITE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_ID_FIELD_NUMBER: _ClassVar[int]
    SET_REQUEST_HEADERS_FIELD_NUMBER: _ClassVar[int]
    SET_RESPONSE_HEADERS_FIELD_NUMBER: _ClassVar[int]
    REMOVE_REQUEST_HEADERS_FIELD_NUMBER: _ClassVar[int]
    REMOVE_RESPONSE_HEADERS_FIELD_NUMBER: _ClassVar[int]
    RETRY_UNSAFE_FIELD_NUMBER: _ClassVar[int]
    id: str
    match: str
    path: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    rewrite: str
    timeout_ms: int
    retries: int
    upstream_id: str
    set_request_headers: _containers.RepeatedCompositeFieldContainer[Header]
    set_response_headers: _containers.RepeatedCompositeFieldContainer[Header]
    remove_request_headers: _containers.RepeatedScalarFieldContainer[str]
    remove_response_headers: _containers.RepeatedScalarFieldContainer[str]
    retry_unsafe: bool
    def __init__(self, id: _Optional[str] = ..., match: _Optional[str] = ..., path: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ..., rewrite: _Optional[str] = ..., timeout_ms: _Optional[int] = ..., retries: _Optional[int] = ..., upstream_id: _Optional[str] = ..., set_request_headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., set_response_headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., remove_request_headers: _Optional[_Iterable[str]] = ..., remove_response_headers: _Optional[_Iterable[str]] = ..., retry_unsafe: _Optional[bool] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Upstream(_message.Message):
    __slots__ = ("id", "name", "backends", "cors", "callers", "max_request_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    CORS_FIELD_NUMBER: _ClassVar[int]
    CALLERS_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    backends: _containers.RepeatedCompositeFieldContainer[Backend]
    cors: Cors
    callers: Callers
    max_request_bytes: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[Backend, _Mapping]]] = ..., cors: _Optional[_Union[Cors, _Mapping]] = ..., callers: _Optional[_Union[Callers, _Mapping]] = ..., max_request_bytes: _Optional[int] = ...) -> None: ...

class Cors(_message.Message):
    __slots__ = ("allow_origins", "allow_methods", "allow_headers", "expose_headers", "max_age", "allow_credentials")
    ALLOW_ORIGINS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_METHODS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_HEADERS_FIELD_NUMBER: _ClassVar[int]
    EXPOSE_HEADERS_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    allow_origins: _containers.RepeatedScalarFieldContainer[str]
    allow_methods: _containers.RepeatedScalarFieldContainer[str]
    allow_headers: _containers.RepeatedScalarFieldContainer[str]
    expose_headers: _containers.RepeatedScalarFieldContainer[str]
    max_age: int
    allow_credentials: bool
    def __init__(self, allow_origins: _Optional[_Iterable[str]] = ..., allow_methods: _Optional[_Iterable[str]] = ..., allow_headers: _Optional[_Iterable[str]] = ..., expose_headers: _Optional[_Iterable[str]] = ..., max_age: _Optional[int] = ..., allow_credentials: _Optional[bool] = ...) -> None: ...

class Callers(_message.Message):
    __slots__ = ("allow", "deny")
    ALLOW_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    allow: _containers.RepeatedScalarFieldContainer[str]
    deny: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, allow: _Optional[_Iterable[str]] = ..., deny: _Optional[_Iterable[str]] = ...) -> None: ...

class Backend(_message.Message):
    __slots__ = ("id", "host", "port", "tls", "weight", "health_check_path")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    HEALTH_CHECK_PATH_FIELD_NUMBER: _ClassVar[int]
    id: str
    host: str
    port: int
    tls: bool
    weight: int
    health_check_path: str
    def __init__(self, id: _Optional[str] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., tls: _Optional[bool] = ..., weight: _Optional[int] = ..., health_check_path: _Optional[str] = ...) -> None: ...

class AccessPage(_message.Message):
    __slots__ = ("lineage", "version", "next_version", "next_id", "more", "full", "entries")
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NEXT_VERSION_FIELD_NUMBER: _ClassVar[int]
    NEXT_ID_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    lineage: str
    version: int
    next_version: int
    next_id: str
    more: bool
    full: bool
    entries: _containers.RepeatedCompositeFieldContainer[AccessEntry]
    def __init__(self, lineage: _Optional[str] = ..., version: _Optional[int] = ..., next_version: _Optional[int] = ..., next_id: _Optional[str] = ..., more: _Optional[bool] = ..., full: _Optional[bool] = ..., entries: _Optional[_Iterable[_Union[AccessEntry, _Mapping]]] = ...) -> None: ...

class AccessEntry(_message.Message):
    __slots__ = ("id", "version", "kind", "digest", "publish_id", "plan_id", "subscription_id", "suspended", "rate_per_minute", "deleted")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    RATE_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    kind: str
    digest: str
    publish_id: str
    plan_id: str
    subscription_id: str
    suspended: bool
    rate_per_minute: int
    deleted: bool
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., kind: _Optional[str] = ..., digest: _Optional[str] = ..., publish_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., subscription_id: _Optional[str] = ..., suspended: _Optional[bool] = ..., rate_per_minute: _Optional[int] = ..., deleted: _Optional[bool] = ...) -> None: ...
