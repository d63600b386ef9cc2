"""Certificates for tests, made by the program openssl when they are needed."""
import pathlib
import subprocess


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """An authority of its own; its certificate is FOLDER/NAME.pem."""

    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.certificate, self.key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, days=2):
        """(certificate, key) of `name`, good for localhost and for clients; negative days: past its time."""
        certificate, key, request = (self.folder / f"{self.name}-{name}.{kind}" for kind in ("pem", "key", "csr"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", days,
                "-copy_extensions", "copy", "-out", certificate)
        return certificate, key


def put(pair, certificate, key):
    """Replaces the files `certificate` and `key` by those of the pair, each at once, one after the other."""
    for source, target in zip(pair, (certificate, key)):
        part = target.with_suffix(".part")
        part.write_bytes(source.read_bytes())
        part.rename(target)
