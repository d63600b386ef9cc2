"""A client of Hone with the stubs that grpc_tools makes of proto/hone/v1: submits a job, watches it to its end, downloads its model, and
prints what became of it as one JSON object.

    python_client.py STUBS ADDRESS FOLDER
"""
import hashlib
import json
import pathlib
import sys

sys.path.insert(0, sys.argv[1])
import grpc  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from hone.v1 import job_pb2, job_resource_pb2, model_pb2, model_service_pb2, model_service_pb2_grpc  # noqa: E402
from hone.v1 import training_service_pb2, training_service_pb2_grpc  # noqa: E402

DEADLINE = 120


def spec():
    layers = [model_pb2.Layer(dense=model_pb2.Dense(units=8, activation=model_pb2.Activation.RELU)),
              model_pb2.Layer(dense=model_pb2.Dense(units=3))]
    return job_pb2.JobSpec(
        display_name="from Python", classification=job_pb2.Classification(), data=job_pb2.DataSpec(dataset="wine"),
        model=model_pb2.ModelSpec(layers=layers),
        training=job_pb2.TrainingSpec(epochs=2, seed=7, precision=job_pb2.TrainingSpec.F32))


def watch(training, name):
    """How many events there were until the job had ended, and the state that the last one tells."""
    events, state = 0, None
    for answer in training.WatchJob(training_service_pb2.WatchJobRequest(name=name), timeout=DEADLINE):
        if answer.WhichOneof("kind") == "event":
            events += 1
            if answer.event.WhichOneof("kind") == "state":
                state = job_resource_pb2.Job.State.Name(answer.event.state.state)
    return events, state


def download(models, name, folder):
    """Writes the model's files below the folder; how many there were, each with the SHA-256 that the server says."""
    data, sums, path = {}, {}, None
    for chunk in models.DownloadModel(model_service_pb2.DownloadModelRequest(name=name), timeout=DEADLINE):
        if chunk.HasField("file"):
            path = chunk.file.path
            sums[path] = chunk.file.sha256
        data[path] = data.get(path, b"") + chunk.data
    for path, content in data.items():
        if hashlib.sha256(content).hexdigest() != sums[path]:
            raise RuntimeError(f"{path} is not what the server says")
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return len(data)


def reason(error):
    """Of an error's google.rpc.ErrorInfo."""
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    for detail in status_pb2.Status.FromString(details).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return f"{info.domain}/{info.reason}"
    return ""


def main():
    channel = grpc.insecure_channel(sys.argv[2])
    training = training_service_pb2_grpc.TrainingServiceStub(channel)
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    created = training.CreateJob(training_service_pb2.CreateJobRequest(spec=spec(), request_id="from-python"), timeout=DEADLINE)
    events, state = watch(training, created.name)
    job = training.GetJob(training_service_pb2.GetJobRequest(name=created.name), timeout=DEADLINE)
    files = download(models, job.model, pathlib.Path(sys.argv[3]))
    try:
        training.GetJob(training_service_pb2.GetJobRequest(name="jobs/nobody"), timeout=DEADLINE)
        refused = ""
    except grpc.RpcError as error:
        refused = reason(error)
    print(json.dumps({"state": state, "events": events, "last_sequence": job.last_sequence, "files": files,
                      "batch_size": job.resolved_spec.training.batch_size, "reason": refused}))


main()
