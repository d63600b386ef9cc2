#!/usr/bin/python3
"""Fine-tuning over the wire: a job that begins with a model of this server, and what is refused.

    finetune.py BIN DESCRIPTORS
"""
import json
import pathlib
import struct
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc  # noqa: E402
from honed import Honed, write_mirror  # noqa: E402
from wire import Wire  # noqa: E402


def tensors(file):
    """name → bytes of a safetensors file."""
    size = struct.unpack("<Q", file[:8])[0]
    header = json.loads(file[8:8 + size])
    return {name: file[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]]
            for name, entry in header.items() if name != "__metadata__"}


class FineTune(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="hone-finetune-")
        folder = pathlib.Path(cls.temporary.name)
        cls.wire = Wire(sys.argv[2])
        cls.server = Honed(pathlib.Path(sys.argv[1]) / "honed", folder, "--data-mirror", write_mirror(folder / "mirror"))
        cls.channel = grpc.insecure_channel(cls.server.address)
        spec = cls.spec("first")
        for units in (16, 8, 3):
            spec.model.layers.add().dense.units = units
        cls.first = cls.run_job(spec)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.temporary.cleanup()

    @classmethod
    def call(cls, rpc, message, **fields):
        return cls.wire.stub(cls.channel, rpc)(cls.wire.message(message)(**fields), timeout=60)

    @classmethod
    def spec(cls, name):
        spec = cls.wire.message("JobSpec")(display_name=name)
        spec.classification.SetInParent()
        spec.data.dataset = "wine"
        spec.training.epochs = 3
        return spec

    @classmethod
    def run_job(cls, spec, state="SUCCEEDED"):
        name = cls.call("CreateJob", "CreateJobRequest", spec=spec).name
        deadline = time.monotonic() + 60
        while Wire.enum_name(job := cls.call("GetJob", "GetJobRequest", name=name), "state") not in ("SUCCEEDED", "FAILED"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not end")
            time.sleep(0.05)
        if Wire.enum_name(job, "state") != state:
            raise RuntimeError(f"{name}: {job.message}")
        return job.model

    def weights(self, model):
        parts = self.call("DownloadModel", "DownloadModelRequest", name=model)
        return tensors(b"".join(part.data for part in parts if part.file.path == "model.safetensors"))

    def refused(self, spec):
        with self.assertRaises(grpc.RpcError) as caught:
            self.call("CreateJob", "CreateJobRequest", spec=spec)
        return caught.exception.code(), caught.exception.details()

    def test_frozen_layers_are_the_earlier_models_bit_by_bit_and_the_head_is_new(self):
        spec = self.spec("second")
        spec.model.pretrained.model = self.first
        spec.model.pretrained.freeze.extend(["dense_1", "dense_2"])
        spec.model.layers.add().dense.units = 3
        second = self.run_job(spec)
        before, after = self.weights(self.first), self.weights(second)
        self.assertEqual(sorted(before), sorted(after))
        for name in before:
            (self.assertNotEqual if name.startswith("dense_3") else self.assertEqual)(before[name], after[name], name)
        plan = self.call("GetModel", "GetModelRequest", name=second).plan
        self.assertEqual([layer.trainable for layer in plan.layers], [False, False, False, True])

    def test_a_model_that_is_not_there_is_refused_when_the_job_is_created(self):
        spec = self.spec("lost")
        spec.model.pretrained.model = "models/nobody"
        code, text = self.refused(spec)
        self.assertEqual(code, grpc.StatusCode.NOT_FOUND)
        self.assertIn("model.pretrained.model: there is no model models/nobody", text)

    def test_a_layer_that_does_not_fit_is_refused_without_a_word_about_the_servers_folders(self):
        spec = self.spec("misfit")
        spec.model.pretrained.model = self.first
        spec.model.pretrained.freeze.append("conv2d_1")
        code, text = self.refused(spec)
        self.assertEqual(code, grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("no layer is called conv2d_1; those kept are: dense_1, dense_2, dense_3", text)
        self.assertNotIn(str(self.server.folder), text)

    def test_a_path_of_the_clients_machine_has_no_place_in_the_contract_and_is_refused_as_no_model(self):
        spec = self.spec("path")
        spec.model.pretrained.MergeFromString(b"\x12\x04/etc")  # field 2, the path of older clients
        code, text = self.refused(spec)
        self.assertEqual(code, grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("model.pretrained", text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
