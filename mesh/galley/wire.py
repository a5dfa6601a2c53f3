"""The messages by which Galley hands on configuration: the Mesh Configuration Protocol, `istio.mcp.v1alpha1`.

Made from descriptors at run time, so that there is no generated code. Names and numbers of fields are Istio's
(`mcp/v1alpha1/{mcp,resource,metadata}.proto`); the service of reports is this mesh's own. A resource's body
is the object as JSON text (`google.protobuf.StringValue`): protobuf's Struct makes every number a fraction.
"""

from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    timestamp_pb2,
    wrappers_pb2,
)
from google.rpc import status_pb2

PACKAGE = "istio.mcp.v1alpha1"
SOURCE = f"/{PACKAGE}.ResourceSource/EstablishResourceStream"
REPORTS = "/meshwright.galley.v1.StatusReports/EstablishReportStream"
BODY = "type.googleapis.com/google.protobuf.StringValue"
_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "string": _Field.TYPE_STRING, "bool": _Field.TYPE_BOOL, "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
}  # fmt: skip

# message -> field -> (number, type); `*` stands before what is repeated, `map` is string to string
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "SinkNode": {"id": (1, "string"), "annotations": (2, "map")},
    "Metadata": {
        "name": (1, "string"), "create_time": (2, ".google.protobuf.Timestamp"), "version": (3, "string"),
        "labels": (4, "map"), "annotations": (5, "map"),
    },
    "Resource": {"metadata": (1, "Metadata"), "body": (2, ".google.protobuf.Any")},
    "RequestResources": {
        "sink_node": (1, "SinkNode"), "collection": (2, "string"),
        "initial_resource_versions": (3, "map"), "response_nonce": (4, "string"),
        "error_detail": (5, ".google.rpc.Status"), "incremental": (6, "bool"),
    },
    "Resources": {
        "system_version_info": (1, "string"), "collection": (2, "string"), "resources": (3, "*Resource"),
        "removed_resources": (4, "*string"), "nonce": (5, "string"), "incremental": (6, "bool"),
    },
    "Report": {
        "kind": (1, "string"), "namespace": (2, "string"), "name": (3, "string"), "version": (4, "string"),
        "proxies": (5, "int32"), "acked": (6, "int32"), "errors": (7, "*string"),
    },
    "Reports": {"reports": (1, "*Report")},
}  # fmt: skip


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="mcp/v1alpha1/mcp.proto", package=PACKAGE, syntax="proto3",
        dependency=[
            "google/protobuf/any.proto", "google/protobuf/timestamp.proto", "google/rpc/status.proto"
        ],
    )  # fmt: skip
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add(message, field, number, kind)
    return file


def _add(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str) -> None:
    repeated = kind.startswith("*") or kind == "map"
    field = message.field.add(
        name=name, number=number, label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    )
    kind = kind.removeprefix("*")
    if kind in _TYPES:
        field.type = _TYPES[kind]
        return
    field.type = _Field.TYPE_MESSAGE
    if kind == "map":
        entry = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        field.type_name = f".{PACKAGE}.{message.name}.{entry}"
        _map_entry(message, entry)
    else:
        field.type_name = kind if kind.startswith(".") else f".{PACKAGE}.{kind}"


def _map_entry(message: descriptor_pb2.DescriptorProto, name: str) -> None:
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, part in enumerate(("key", "value"), start=1):
        entry.field.add(name=part, number=number, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)


_pool = descriptor_pool.DescriptorPool()
for _known in (any_pb2, timestamp_pb2, wrappers_pb2, status_pb2):
    _pool.AddSerializedFile(_known.DESCRIPTOR.serialized_pb)
_pool.AddSerializedFile(_file().SerializeToString())


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


Resource: Any = _class("Resource")
RequestResources: Any = _class("RequestResources")
Resources: Any = _class("Resources")
Report: Any = _class("Report")
Reports: Any = _class("Reports")


def body(text: str) -> bytes:
    """The bytes of a body's value."""
    return wrappers_pb2.StringValue(value=text).SerializeToString()


def text_of(resource: Any) -> str:
    """The JSON text of a resource; `ValueError` if it has another form."""
    if resource.body.type_url != BODY:
        raise ValueError(f"{resource.metadata.name} is a {resource.body.type_url or 'nothing'}, not {BODY}")
    try:
        return wrappers_pb2.StringValue.FromString(resource.body.value).value
    except Exception as error:  # protobuf's DecodeError
        raise ValueError(f"{resource.metadata.name} cannot be read: {error}") from None
