"""The wire as a foreign client sees it: every service and message from the descriptors that the build leaves, no generated code.

Needs the distribution's python3-protobuf, and python3-grpcio for the channels."""
import pathlib

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICES = ("TrainingService", "ModelService", "DatasetService", "SweepService", "AccessService", "ProjectService")


class Wire:
    """Messages by name, and a callable for each RPC."""

    def __init__(self, descriptor_set):
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(descriptor_set).read_bytes())
        self.pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self.pool.Add(file)
        self.factory = message_factory.MessageFactory(self.pool)

    def message(self, name):
        """The class of hone.v1.NAME, or of a full name."""
        full = name if "." in name else f"hone.v1.{name}"
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName(full))

    @staticmethod
    def enum_name(message, field):
        """The name of the value that a field of an enum has, such as "SUCCEEDED". Fields are set by name too: state="QUEUED"."""
        return message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(message, field)].name

    def methods(self):
        """(service, method descriptor) of every RPC."""
        for name in SERVICES:
            service = self.pool.FindServiceByName(f"hone.v1.{name}")
            for method in service.methods:
                yield service, method

    def streams(self, method):
        """(from the client, from the server)"""
        proto = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(proto)
        return proto.client_streaming, proto.server_streaming

    def stub(self, channel, rpc):
        for service, method in self.methods():
            if method.name == rpc:
                from_client, from_server = self.streams(method)
                kind = f"{'stream' if from_client else 'unary'}_{'stream' if from_server else 'unary'}"
                reply = self.factory.GetPrototype(method.output_type)
                return getattr(channel, kind)(
                    f"/{service.full_name}/{method.name}",
                    request_serializer=lambda request: request if isinstance(request, bytes) else request.SerializeToString(),
                    response_deserializer=reply.FromString)
        raise KeyError(rpc)
