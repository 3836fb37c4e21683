#!/usr/bin/env python3
"""Record fixtures/tls: the same three WebSockets under every version and cipher suite, and what else TLS can do.

Each case is one capture with its keys inside (a Decryption Secrets Block), of these connections in this order:

    1  the client closes with 1000
    2  the server closes with 1001
    3  the client says close_notify and closes TCP, without a Close

Endpoints are Python's ssl (OpenSSL) with frames made by hand, or `openssl s_client` where Python can't ask for it
(key update, renegotiation, early data). Needs root (a network namespace, tcpdump), openssl, editcap.

    record_tls.py                 # all
    record_tls.py 1.2-aes128-gcm  # some
"""
import base64, hashlib, os, re, socket, ssl, struct, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "fixtures", "tls")
PORT = 9443
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NO_EXTENDED_MASTER_SECRET = 1 << 0
NO_ENCRYPT_THEN_MAC = 1 << 19
V = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# name: version, cipher (OpenSSL's name), and what else
CASES = {
    "1.0-aes128-cbc-sha1": ("1.0", "ECDHE-RSA-AES128-SHA", {"no_etm": True}),
    "1.0-aes256-cbc-sha1-etm": ("1.0", "ECDHE-RSA-AES256-SHA", {}),
    "1.1-aes128-cbc-sha1": ("1.1", "AES128-SHA", {"no_etm": True}),
    "1.1-aes256-cbc-sha1-etm": ("1.1", "AES256-SHA", {}),
    "1.2-aes128-gcm": ("1.2", "ECDHE-RSA-AES128-GCM-SHA256", {}),
    "1.2-aes256-gcm": ("1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", {}),
    "1.2-chacha20": ("1.2", "ECDHE-RSA-CHACHA20-POLY1305", {}),
    "1.2-aes128-ccm": ("1.2", "ECDHE-ECDSA-AES128-CCM", {}),
    "1.2-aes256-ccm": ("1.2", "AES256-CCM", {}),
    "1.2-aes128-ccm8": ("1.2", "ECDHE-ECDSA-AES128-CCM8", {}),
    "1.2-aes256-ccm8": ("1.2", "AES256-CCM8", {}),
    "1.2-aes128-cbc-sha1": ("1.2", "ECDHE-RSA-AES128-SHA", {"no_etm": True}),
    "1.2-aes256-cbc-sha1-etm": ("1.2", "ECDHE-RSA-AES256-SHA", {}),
    "1.2-aes128-cbc-sha256": ("1.2", "ECDHE-RSA-AES128-SHA256", {"no_etm": True}),
    "1.2-aes128-cbc-sha256-etm": ("1.2", "ECDHE-RSA-AES128-SHA256", {}),
    "1.2-aes256-cbc-sha384": ("1.2", "ECDHE-RSA-AES256-SHA384", {"no_etm": True}),
    "1.2-aes256-cbc-sha384-etm": ("1.2", "ECDHE-RSA-AES256-SHA384", {}),
    "1.2-no-extended-master-secret": ("1.2", "ECDHE-RSA-AES128-GCM-SHA256", {"no_ems": True}),
    "1.2-resumed": ("1.2", "ECDHE-RSA-AES128-GCM-SHA256", {"resume": True}),
    "1.2-resumed-by-session-id": ("1.2", "ECDHE-RSA-AES128-GCM-SHA256", {"resume": True, "no_ticket": True}),
    "1.2-renegotiated": ("1.2", "ECDHE-RSA-AES128-GCM-SHA256", {"s_client": ["R\n"]}),
    "1.3-aes128-gcm": ("1.3", "TLS_AES_128_GCM_SHA256", {}),
    "1.3-aes256-gcm": ("1.3", "TLS_AES_256_GCM_SHA384", {}),
    "1.3-chacha20": ("1.3", "TLS_CHACHA20_POLY1305_SHA256", {}),
    "1.3-aes128-ccm": ("1.3", "TLS_AES_128_CCM_SHA256", {}),
    "1.3-aes128-ccm8": ("1.3", "TLS_AES_128_CCM_8_SHA256", {}),
    "1.3-retry-request": ("1.3", "TLS_AES_128_GCM_SHA256", {"curve": "secp384r1"}),
    "1.3-resumed": ("1.3", "TLS_AES_128_GCM_SHA256", {"resume": True}),
    "1.3-key-update": ("1.3", "TLS_AES_256_GCM_SHA384", {"s_client": ["K\n", "k\n"]}),
    "1.3-padded": ("1.3", "TLS_AES_128_GCM_SHA256", {"s_client": [], "arguments": ["-record_padding", "256"]}),
}


def sh(*command, **more): return subprocess.run(command, check=True, capture_output=True, **more)


def frame(opcode, payload, mask):
    head = bytes([0x80 | opcode, (0x80 if mask else 0) | len(payload)])
    key = b"\x01\x02\x03\x04"
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload)) if mask else head + payload


def close(code, reason): return struct.pack("!H", code) + reason.encode()


REQUEST = (b"GET /ws HTTP/1.1\r\nHost: example.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


def answer(request):
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", request).group(1)
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    return b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"


def until(sock, end):
    data = b""
    while end not in data:
        more = sock.recv(4096)
        if not more: return data
        data += more
    return data


def serve(listener, context, count):
    """Echoes the first message, then closes the second connection with 1001."""
    for number in range(1, count + 1):
        raw, _ = listener.accept()
        try:
            with context.wrap_socket(raw, server_side=True) as sock:
                sock.sendall(answer(until(sock, b"\r\n\r\n")))
                sock.recv(4096)
                sock.sendall(frame(1, b"hello", False))
                if number == 2:
                    sock.sendall(frame(8, close(1001, "going away"), False))
                got = sock.recv(4096)
                while got and number != 2 and not (got[0] & 0x0F) == 8:
                    sock.sendall(frame(1, b"again", False))
                    got = sock.recv(4096)
                if got and number != 2:
                    sock.sendall(frame(8, close(1000, "bye"), False))
                try: sock.unwrap()
                except (ssl.SSLError, OSError): pass
        except (ssl.SSLError, OSError) as error:
            print("   server:", error)


def client(context, number, session):
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", PORT)), server_hostname="example.test", session=session)
    sock.sendall(REQUEST)
    until(sock, b"\r\n\r\n")
    sock.sendall(frame(1, b"hello", True))
    sock.recv(4096)
    if number == 1:
        sock.sendall(frame(8, close(1000, "bye"), True)); sock.recv(4096)
    elif number == 2:
        sock.recv(4096); sock.sendall(frame(8, close(1001, ""), True))
    saved, reused = sock.session, sock.session_reused
    try: sock.unwrap()
    except (ssl.SSLError, OSError): pass
    sock.close()
    return saved, reused


def s_client(version, cipher, extra, keys, number):
    """The same by `openssl s_client`, with its commands between two messages."""
    suites = ["-ciphersuites", cipher] if version == "1.3" else ["-cipher", cipher + ":@SECLEVEL=0"]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{PORT}", "-servername", "example.test", "-keylogfile", keys, "-tls1_" + version[-1],
               *suites, *extra.get("arguments", [])]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    steps = [b"", REQUEST, frame(1, b"hello", True)]
    if number == 1: steps += [step.encode() for step in extra["s_client"]] + [frame(1, b"more", True), frame(8, close(1000, "bye"), True)]
    if number == 2: steps += [frame(8, close(1001, ""), True)]
    for step in steps:
        time.sleep(0.3)
        child.stdin.write(step); child.stdin.flush()
    time.sleep(0.3)
    try: child.stdin.write(b"Q\n"); child.stdin.flush()
    except OSError: pass
    time.sleep(0.3)
    child.kill(); child.wait()


def context(server, version, cipher, extra, certificates):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = made.maximum_version = V[version]
    made.set_ciphers("ALL:@SECLEVEL=0" if version == "1.3" else cipher + ":@SECLEVEL=0")
    made.options |= (NO_ENCRYPT_THEN_MAC if extra.get("no_etm") else 0) | (NO_EXTENDED_MASTER_SECRET if extra.get("no_ems") else 0)
    if extra.get("no_ticket"): made.options |= ssl.OP_NO_TICKET
    if "s_client" in extra: made.options &= ~getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    if server:
        for certificate in certificates: made.load_cert_chain(certificate + ".crt", certificate + ".key")
        if extra.get("curve"): made.set_ecdh_curve(extra["curve"])
    else:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def certificates(folder):
    for name, kind in (("rsa", ["rsa:2048"]), ("ec", ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])):
        sh("openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "3650", "-subj", "/CN=example.test",
           "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt")
    return [f"{folder}/rsa", f"{folder}/ec"]


def record(name, folder):
    version, cipher, extra = CASES[name]
    keys, pcap = f"{folder}/{name}.keys", f"{folder}/{name}.pcap"
    server = context(True, version, cipher, extra, certificates(folder))
    listener = socket.create_server(("127.0.0.1", PORT)); count = 3
    thread = threading.Thread(target=serve, args=(listener, server, count), daemon=True); thread.start()
    dump = subprocess.Popen(["tcpdump", "-i", "lo", "-U", "--immediate-mode", "-w", pcap, "tcp", "port", str(PORT)], stderr=subprocess.DEVNULL)
    time.sleep(0.7)
    try: connect_all(version, cipher, extra, keys, count)
    finally:
        thread.join(3); time.sleep(0.4)
        dump.terminate(); dump.wait(); listener.close()
    sh("editcap", "-F", "pcapng", "--inject-secrets", f"tls,{keys}", pcap, os.path.join(OUT, name + ".pcapng"))


def connect_all(version, cipher, extra, keys, count):
    session = None
    for number in range(1, count + 1):
        if "s_client" in extra:
            s_client(version, cipher, extra, keys, number)
        else:
            chosen = context(False, version, cipher, extra, [])
            chosen.keylog_filename = keys
            if session is not None: chosen = kept
            kept = chosen
            saved, reused = client(chosen, number, session)
            if extra.get("resume"):
                session = saved
                if number > 1: print("   resumed" if reused else "   NOT RESUMED")
        time.sleep(0.1)


def main():
    names = sys.argv[1:] or list(CASES)
    if os.environ.get("RECORDING") != "1":       # each case in a namespace and a process of its own, since OPENSSL_CONF is read once
        for name in names:
            print(name, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                version, cipher, _ = CASES[name]
                suites = f"Ciphersuites = {cipher}\n" if version == "1.3" else ""
                with open(f"{folder}/openssl.cnf", "w") as file:
                    file.write("openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\n"
                               f"MinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\nOptions = UnsafeLegacyRenegotiation,ClientRenegotiation\n{suites}"
                               "[req]\ndistinguished_name = dn\n[dn]\n")
                env = {**os.environ, "RECORDING": "1", "OPENSSL_CONF": f"{folder}/openssl.cnf", "FOLDER": folder}
                subprocess.run(["unshare", "-n", sys.executable, __file__, name], env=env, check=True, timeout=60)
        return
    sh("ip", "link", "set", "lo", "up")
    record(names[0], os.environ["FOLDER"])


main()
