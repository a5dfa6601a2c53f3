"""The messages of the CSR service, `istio.v1.auth.IstioCertificateService`, that agents speak with Citadel.

Made from descriptors at run time, so that there is no generated code. Names and numbers of the fields are
Istio's (`security/v1alpha1/ca.proto`), so that other agents can speak it.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

from mesh.pki.certificates import chain_pem, load_chain

SERVICE = "istio.v1.auth.IstioCertificateService"
METHOD = "CreateCertificate"
PATH = f"/{SERVICE}/{METHOD}"
_Field = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="security/v1alpha1/ca.proto",
        package="istio.v1.auth",
        syntax="proto3",
        dependency=["google/protobuf/struct.proto"],
    )
    asked = file.message_type.add(name="IstioCertificateRequest")
    asked.field.add(name="csr", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    asked.field.add(name="validity_duration", number=3, type=_Field.TYPE_INT64, label=_Field.LABEL_OPTIONAL)
    asked.field.add(
        name="metadata",
        number=4,
        type=_Field.TYPE_MESSAGE,
        label=_Field.LABEL_OPTIONAL,
        type_name=".google.protobuf.Struct",
    )
    answer = file.message_type.add(name="IstioCertificateResponse")
    answer.field.add(name="cert_chain", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_REPEATED)
    service = file.service.add(name="IstioCertificateService")
    service.method.add(
        name=METHOD,
        input_type=".istio.v1.auth.IstioCertificateRequest",
        output_type=".istio.v1.auth.IstioCertificateResponse",
    )
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
_pool.AddSerializedFile(_file().SerializeToString())

IstioCertificateRequest: Any = message_factory.GetMessageClass(
    _pool.FindMessageTypeByName("istio.v1.auth.IstioCertificateRequest")
)
IstioCertificateResponse: Any = message_factory.GetMessageClass(
    _pool.FindMessageTypeByName("istio.v1.auth.IstioCertificateResponse")
)


def certificate_request(csr: bytes, seconds: int) -> bytes:
    """The bytes of a request for a certificate of that many seconds (0: the server's choice)."""
    message = IstioCertificateRequest(csr=csr.decode(), validity_duration=seconds)
    return bytes(message.SerializeToString())


def chain_of(raw: bytes) -> bytes:
    """The chain of a response, as one PEM text, leaf first; `ValueError` if there is none.

    A root at its end is left out: who trusts it has it, and who does not is not convinced by it.
    """
    entries = IstioCertificateResponse.FromString(raw).cert_chain
    if not entries:
        raise ValueError("the answer holds no certificate")
    leaf, *above = load_chain("\n".join(entries).encode())
    return chain_pem([leaf, *(each for each in above if each.subject != each.issuer)])


def certificate_response(chain: bytes, root: bytes) -> bytes:
    """The bytes of a response: leaf, intermediates, and the root last, as Istio's agents want it."""
    entries = [chain_pem([each]).decode() for each in load_chain(chain)]
    return bytes(IstioCertificateResponse(cert_chain=[*entries, root.decode()]).SerializeToString())
