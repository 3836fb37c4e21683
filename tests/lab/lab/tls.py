"""TLS for a run: its certificate, the one cipher suite that its server may choose, and a key log for each end.

The TLS recording of a scenario is the twin of that in the clear: the same steps, the same endpoints. Where a proxy stands
between, it terminates TLS, and its leg to the server is in the clear.
"""

import gzip
import pathlib
import subprocess

# The table `[tls]` of a scenario, see scenario.py.
DEFAULTS = {"keys": "client", "resume": False}


class Tls:
    """`suite`: OpenSSL's name; those of TLS 1.3 begin with `TLS_`. `keys`: whose key log is kept."""

    def __init__(self, suite, settings, folder):
        self.suite, self.folder = suite, pathlib.Path(folder)
        settings = {**DEFAULTS, **settings}
        self.keys, self.resume = settings["keys"], settings["resume"]
        self.certificate, self.key = self.folder / "tls.crt", self.folder / "tls.key"
        self._make_certificate()
        self._write_settings()

    @property
    def is_13(self):
        return self.suite.startswith("TLS_")

    def _make_certificate(self):
        """Of a key of 256 bits: small captures."""
        run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
            "-subj", "/CN=lab.test", "-keyout", self.key, "-out", self.certificate,
        )
        # haproxy wants both in one file.
        self.both.write_text(self.certificate.read_text() + self.key.read_text())

    @property
    def both(self):
        return self.folder / "tls.pem"

    def _write_settings(self):
        """OpenSSL's own settings: Python's ssl has no call that chooses a suite of TLS 1.3."""
        chosen = f"Ciphersuites = {self.suite}" if self.is_13 else f"CipherString = {self.suite}"
        version = "TLSv1.3" if self.is_13 else "TLSv1.2"
        (self.folder / "openssl.cnf").write_text(
            "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\n"
            f"MinProtocol = {version}\nMaxProtocol = {version}\n{chosen}\n"
        )

    def keylog(self, role):
        return self.folder / f"{role}.keys"

    def plan(self, role):
        """What an endpoint is told."""
        return {
            "certificate": str(self.certificate),
            "key": str(self.key),
            "keylog": str(self.keylog(role)),
            "suite": self.suite,
            "version": "TLSv1.3" if self.is_13 else "TLSv1.2",
            "resume": self.resume,
        }

    def environment(self):
        return {"OPENSSL_CONF": str(self.folder / "openssl.cnf")}

    def proxy(self, kind):
        """What the template of a proxy leaves open."""
        if kind == "haproxy":
            chosen = f"ciphersuites {self.suite}" if self.is_13 else f"ciphers {self.suite}"
            return f"ssl crt {self.both} {chosen}"
        chosen = f"ssl_conf_command Ciphersuites {self.suite}" if self.is_13 else f"ssl_ciphers {self.suite}"
        version = "TLSv1.3" if self.is_13 else "TLSv1.2"
        return f"ssl; ssl_certificate {self.certificate}; ssl_certificate_key {self.key}; ssl_protocols {version}; {chosen}"

    def arguments(self, port):
        """Those by which tshark reads the content."""
        return ["-o", f"tls.keylog_file:{self.keylog(self.keys)}", "-d", f"tls.port=={port},http"]

    def inject(self, capture, target):
        """Writes the capture with its keys inside, compressed: the keys are digits."""
        whole = self.folder / "with-keys.pcapng"
        run("editcap", "-F", "pcapng", "--inject-secrets", f"tls,{self.keylog(self.keys)}", capture, whole)
        # No time in its header: recorded again from the same packets it would be the same file.
        target.write_bytes(gzip.compress(whole.read_bytes(), mtime=0))


def run(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
