from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_APPLYING: _ClassVar[Outcome]
    OUTCOME_APPLIED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_APPLYING: Outcome
OUTCOME_APPLIED: Outcome
OUTCOME_FAILED: Outcome

class RegisterRequest(_message.Message):
    __slots__ = ("token", "name", "public_key", "signature", "version", "gateway_classes")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_CLASSES_FIELD_NUMBER: _ClassVar[int]
    token: str
    name: str
    public_key: bytes
    signature: bytes
    version: str
    gateway_classes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, token: _Optional[str] = ..., name: _Optional[str] = ..., public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., version: _Optional[str] = ..., gateway_classes: _Optional[_Iterable[str]] = ...) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ("agent_id", "cluster_id", "cluster_name")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    cluster_id: str
    cluster_name: str
    def __init__(self, agent_id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., cluster_name: _Optional[str] = ...) -> None: ...

class CheckRequest(_message.Message):
    __slots__ = ("token", "name", "jwt", "version", "gateway_classes")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    JWT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_CLASSES_FIELD_NUMBER: _ClassVar[int]
    token: str
    name: str
    jwt: str
    version: str
    gateway_classes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, token: _Optional[str] = ..., name: _Optional[str] = ..., jwt: _Optional[str] = ..., version: _Optional[str] = ..., gateway_classes: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckResponse(_message.Message):
    __slots__ = ("cluster_name", "rest_url", "last_heartbeat_at")
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    REST_URL_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_AT_FIELD_NUMBER: _ClassVar[int]
    cluster_name: str
    rest_url: str
    last_heartbeat_at: int
    def __init__(self, cluster_name: _Optional[str] = ..., rest_url: _Optional[str] = ..., last_heartbeat_at: _Optional[int] = ...) -> None: ...

class AgentMessage(_message.Message):
    __slots__ = ("connect_request", "heartbeat", "deploy_result", "state_report", "goodbye")
    CONNECT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    DEPLOY_RESULT_FIELD_NUMBER: _ClassVar[int]
    STATE_REPORT_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    connect_request: ConnectRequest
    heartbeat: Heartbeat
    deploy_result: DeployResult
    state_report: StateReport
    goodbye: Goodbye
    def __init__(self, connect_request: _Optional[_Union[ConnectRequest, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., deploy_result: _Optional[_Union[DeployResult, _Mapping]] = ..., state_report: _Optional[_Union[StateReport, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class ServerMessage(_message.Message):
    __slots__ = ("session_epoch", "connect_response", "deploy_command", "state_changed", "goodbye")
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    CONNECT_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    DEPLOY_COMMAND_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    session_epoch: int
    connect_response: ConnectResponse
    deploy_command: DeployCommand
    state_changed: StateChanged
    goodbye: Goodbye
    def __init__(self, session_epoch: _Optional[int] = ..., connect_response: _Optional[_Union[ConnectResponse, _Mapping]] = ..., deploy_command: _Optional[_Union[DeployCommand, _Mapping]] = ..., state_changed: _Optional[_Union[StateChanged, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class ConnectRequest(_message.Message):
    __slots__ = ("jwt", "version", "gateway_classes")
    JWT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_CLASSES_FIELD_NUMBER: _ClassVar[int]
    jwt: str
    version: str
    gateway_classes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, jwt: _Optional[str] = ..., version: _Optional[str] = ..., gateway_classes: _Optional[_Iterable[str]] = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("rest_token", "rest_url", "heartbeat_interval_s", "generation", "access_version")
    REST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REST_URL_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ACCESS_VERSION_FIELD_NUMBER: _ClassVar[int]
    rest_token: str
    rest_url: str
    heartbeat_interval_s: int
    generation: int
    access_version: int
    def __init__(self, rest_token: _Optional[str] = ..., rest_url: _Optional[str] = ..., heartbeat_interval_s: _Optional[int] = ..., generation: _Optional[int] = ..., access_version: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeployCommand(_message.Message):
    __slots__ = ("deployment_id", "product_publish_id", "generation")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_PUBLISH_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    product_publish_id: str
    generation: int
    def __init__(self, deployment_id: _Optional[str] = ..., product_publish_id: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class StateChanged(_message.Message):
    __slots__ = ("generation", "access_version")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ACCESS_VERSION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    access_version: int
    def __init__(self, generation: _Optional[int] = ..., access_version: _Optional[int] = ...) -> None: ...

class DeployResult(_message.Message):
    __slots__ = ("deployment_id", "revision", "generation", "outcome", "error", "probe", "timings")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    revision: str
    generation: int
    outcome: Outcome
    error: str
    probe: Probe
    timings: Timings
    def __init__(self, deployment_id: _Optional[str] = ..., revision: _Optional[str] = ..., generation: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., error: _Optional[str] = ..., probe: _Optional[_Union[Probe, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[ProbeCall]
    def __init__(self, calls: _Optional[_Iterable[_Union[ProbeCall, _Mapping]]] = ...) -> None: ...

class ProbeCall(_message.Message):
    __slots__ = ("method", "host", "port", "path", "with_credential", "expected", "got", "body", "latency_ms")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    WITH_CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    GOT_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    method: str
    host: str
    port: int
    path: str
    with_credential: bool
    expected: int
    got: int
    body: str
    latency_ms: float
    def __init__(self, method: _Optional[str] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., path: _Optional[str] = ..., with_credential: _Optional[bool] = ..., expected: _Optional[int] = ..., got: _Optional[int] = ..., body: _Optional[str] = ..., latency_ms: _Optional[float] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("fetch_ms", "apply_ms", "probe_ms")
    FETCH_MS_FIELD_NUMBER: _ClassVar[int]
    APPLY_MS_FIELD_NUMBER: _ClassVar[int]
    PROBE_MS_FIELD_NUMBER: _ClassVar[int]
    fetch_ms: float
    apply_ms: float
    probe_ms: float
    def __init__(self, fetch_ms: _Optional[float] = ..., apply_ms: _Optional[float] = ..., probe_ms: _Optional[float] = ...) -> None: ...

class StateReport(_message.Message):
    __slots__ = ("applied_generation", "settled_generation", "access_version", "publishes", "last_error")
    APPLIED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    SETTLED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    ACCESS_VERSION_FIELD_NUMBER: _ClassVar[int]
    PUBLISHES_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    applied_generation: int
    settled_generation: int
    access_version: int
    publishes: _containers.RepeatedCompositeFieldContainer[PublishState]
    last_error: str
    def __init__(self, applied_generation: _Optional[int] = ..., settled_generation: _Optional[int] = ..., access_version: _Optional[int] = ..., publishes: _Optional[_Iterable[_Union[PublishState, _Mapping]]] = ..., last_error: _Optional[str] = ...) -> None: ...

class PublishState(_message.Message):
    __slots__ = ("id", "revision", "error", "warning")
    ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    id: str
    revision: str
    error: str
    warning: str
    def __init__(self, id: _Optional[str] = ..., revision: _Optional[str] = ..., error: _Optional[str] = ..., warning: _Optional[str] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason", "retry_after_ms", "message")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Goodbye.Reason]
        DRAIN: _ClassVar[Goodbye.Reason]
        SUPERSEDED: _ClassVar[Goodbye.Reason]
        REVOKED: _ClassVar[Goodbye.Reason]
        STOPPING: _ClassVar[Goodbye.Reason]
    REASON_UNSPECIFIED: Goodbye.Reason
    DRAIN: Goodbye.Reason
    SUPERSEDED: Goodbye.Reason
    REVOKED: Goodbye.Reason
    STOPPING: Goodbye.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: Goodbye.Reason
    retry_after_ms: int
    message: str
    def __init__(self, reason: _Optional[_Union[Goodbye.Reason, str]] = ..., retry_after_ms: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...
