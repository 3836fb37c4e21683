#!/usr/bin/env python3
"""Write fixtures/http2/hpack.json: header blocks of encoders that are not ours, with the fields that they stand for.

Python's hpack encodes a list of fields. Node's http2 (nghttp2) and Go's net/http send requests to a server made here,
which collects their header blocks; what those stand for is said by hpack's decoder. Each list is one encoder with one
dynamic table, which the server has limited to `table_bytes`. Needs node, go, openssl, and what setup.sh installs; run it
by tests/lab/.venv/bin/python.
"""
import importlib.metadata, json, pathlib, socket, ssl, struct, subprocess, sys, tempfile, threading

import hpack

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent.parent / "fixtures" / "http2" / "hpack.json"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TOKEN = "k9;%5B~" * 40
# What a browser with a WebSocket and some requests might send: repeated, changed, empty, long, secret, beyond ASCII.
REQUESTS = [
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.test"), (":path", "/"), ("accept", "*/*"), ("cookie", "a=1")],
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.test"), (":path", "/a.css"), ("accept", "text/css"), ("cookie", "a=1")],
    [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "example.test"), (":path", "/chat?id=1"),
     ("origin", "https://example.test"), ("sec-websocket-version", "13"), ("sec-websocket-extensions", "permessage-deflate"), ("user-agent", "lab")],
    [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "example.test"), (":path", "/chat?id=2"),
     ("origin", "https://example.test"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "graphql-ws"), ("user-agent", "lab")],
    [(":method", "POST"), (":scheme", "https"), (":authority", "example.test"), (":path", "/api"), ("x-empty", ""), ("authorization", TOKEN)],
    [(":method", "POST"), (":scheme", "https"), (":authority", "example.test"), (":path", "/api"), ("x-latin", "gr\u00fc\u00df"), ("authorization", TOKEN)],
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.test"), (":path", "/"), *((f"x-field-{at}", "v" * at) for at in range(40))],
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.test"), (":path", "/"), *((f"x-field-{at}", "v" * at) for at in range(39, -1, -1))],
    [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "example.test"), (":path", "/chat?id=3"),
     ("origin", "https://example.test"), ("sec-websocket-version", "13"), ("user-agent", "lab")],
]
SECRET = {"authorization", "cookie"}


def text(raw): return raw.decode("latin-1") if isinstance(raw, bytes) else raw


def fields_of(headers): return [[text(name), text(value)] for name, value in headers]


def python(huffman, sizes):
    """`sizes`: the table's size from one block on."""
    encoder, blocks = hpack.Encoder(), []
    for at, request in enumerate(REQUESTS):
        if at in sizes:
            encoder.header_table_size = sizes[at]
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request]
        fields = [hpack.NeverIndexedHeaderTuple(*one) if text(one[0]) in SECRET else hpack.HeaderTuple(*one) for one in raw]
        blocks.append({"block": encoder.encode(fields, huffman=huffman).hex(), "fields": fields_of(raw)})
    return blocks


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def collect(listener, context, table_bytes, blocks):
    """Answers 204 to each request of one connection; keeps the header blocks."""
    stream = context.wrap_socket(listener.accept()[0], server_side=True)
    frame = lambda kind, flags, number, body: stream.sendall(struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", number) + body)
    frame(4, 0, 0, struct.pack(">HIHI", 1, table_bytes, 8, 1))  # HEADER_TABLE_SIZE, ENABLE_CONNECT_PROTOCOL
    assert exactly(stream, len(PREFACE)) == PREFACE
    block = b""
    try:
        while True:
            head = exactly(stream, 9)
            kind, flags, number = head[3], head[4], struct.unpack(">I", head[5:])[0]
            body = exactly(stream, struct.unpack(">I", b"\0" + head[:3])[0])
            if kind == 4 and not flags & 1:
                frame(4, 1, 0, b"")
            if kind in (1, 9):
                pad = body[0] if kind == 1 and flags & 8 else 0
                start = (1 if kind == 1 and flags & 8 else 0) + (5 if kind == 1 and flags & 0x20 else 0)
                block += body[start:len(body) - pad]
                if flags & 4:
                    blocks.append(block)
                    block = b""
                    frame(1, 5, number, b"\x89")  # :status 204
    except (EOFError, OSError):
        pass


def recorded(command, table_bytes):
    with tempfile.TemporaryDirectory() as folder:
        key, cert = f"{folder}/key.pem", f"{folder}/cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=example.test",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        context.set_alpn_protocols(["h2"])
        listener, blocks = socket.create_server(("127.0.0.1", 0)), []
        thread = threading.Thread(target=collect, args=(listener, context, table_bytes, blocks))
        thread.start()
        port = listener.getsockname()[1]
        subprocess.run([*command, str(port)], check=True, input=json.dumps([REQUESTS, sorted(SECRET)]).encode(), timeout=60)
        thread.join(timeout=10)
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = max(table_bytes, 4096)
    read = [{"block": block.hex(), "fields": fields_of(decoder.decode(block, raw=True))} for block in blocks]
    assert len(read) >= len(REQUESTS) - 3, f"{len(read)} blocks"
    return read


def said(*command): return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main():
    version = "Python's hpack " + importlib.metadata.version("hpack")
    node = f"nghttp2 {said('node', '-p', 'process.versions.nghttp2')} (Node {said('node', '--version')})"
    go = "Go's net/http (" + said("go", "version").split()[2] + ")"
    lists = [
        (version, 4096, python(True, {})),
        (version + ", without Huffman codes", 4096, python(False, {})),
        (version + ", whose table changes its size", 4096, python(True, {0: 256, 3: 4096, 5: 0, 6: 1000})),
        *((node, size, recorded(["node", HERE / "endpoints" / "hpack_client.mjs"], size)) for size in (4096, 200, 0)),
        (go, 4096, recorded(["go", "run", HERE / "endpoints" / "hpack_client.go"], 4096)),
    ]
    lines = ",\n".join(
        " " + json.dumps({"encoder": encoder, "table_bytes": size})[:-1] + ', "blocks": [\n'
        + ",\n".join("  " + json.dumps(one) for one in blocks) + "\n ]}"
        for encoder, size, blocks in lists
    )
    OUT.write_text("[\n" + lines + "\n]\n")


sys.exit(main())
