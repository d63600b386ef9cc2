#!/usr/bin/python3
"""The public contract as generators of other languages take it: no enum's values lie bare in the package, every file says where its
code belongs, and no two files make the same class.

    proto_test.py PROTOC PROTO_FOLDER DESCRIPTORS
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

from google.protobuf import descriptor_pb2

PROTOC, PROTOS, DESCRIPTORS = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        everything = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
        cls.files = [file for file in everything.file if file.package == "hone.v1"]

    def test_has_no_enum_whose_values_are_names_of_the_package(self):
        self.assertEqual([], [enum.name for file in self.files for enum in file.enum_type])

    def test_does_not_show_what_only_a_worker_reads(self):
        self.assertNotIn("hone/v1/worker.proto", [file.name for file in self.files])

    def test_says_in_each_file_where_generated_code_belongs(self):
        for file in self.files:
            with self.subTest(file=file.name):
                options = file.options
                self.assertEqual(options.go_package, "hone/v1;honev1")
                self.assertEqual((options.java_package, options.java_multiple_files), ("hone.v1", True))
                self.assertEqual(options.csharp_namespace, "Hone.V1")

    def test_makes_each_class_once_in_the_languages_that_have_one_file_for_each(self):
        for language in ("java", "csharp", "python"):
            with self.subTest(language=language), tempfile.TemporaryDirectory() as folder:
                done = subprocess.run([PROTOC, f"--proto_path={PROTOS}", f"--{language}_out={folder}", *[file.name for file in self.files]],
                                      capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
