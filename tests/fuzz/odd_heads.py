"""Ways to spoil what a head says."""

HEADERS = {
    b"Inference-Header-Content-Length": (
        b"0",
        b"1",
        b"-1",
        b"+5",
        b"0x10",
        b"1e3",
        b"999999999999",
        b"9999999999999",
        b"",
        b" 7",
        b"\xb2",
        b"10,10",
    ),
    b"Content-Type": (
        b"application/json",
        b"application/vnd.vertex-ai-triton.binary+json;json-header-size=10",
        b"application/vnd.vertex-ai-triton.binary+json;json-header-size=99999999999",
        b"x;json-header-size=0",
        b"\xff",
    ),
    b"Content-Encoding": (
        b"gzip",
        b"deflate",
        b"identity",
        b"br",
        b"gzip, deflate",
        b"GZIP",
        b"x-gzip",
        b"",
        b"\xff",
    ),
    b"Accept-Encoding": (b"gzip", b"deflate", b"GZIP", b"gzip;q=0", b"br", b"*", b""),
    b"X-Request-Timeout": (
        b"0",
        b"-1",
        b"nan",
        b"inf",
        b"1e-9",
        b"0.001",
        b"1_0",
        b"3600",
        b"9e99",
        b"",
        b"\xb2",
    ),
    b"traceparent": (
        b"00-" + b"0" * 32 + b"-" + b"2" * 16 + b"-01",
        b"00-x",
        b"\xff",
        b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00",
    ),
    b"Connection": (b"close", b"keep-alive", b"Upgrade", b"close, x", b""),
    b"Upgrade": (b"h2c", b"websocket"),
    b"X-A": (b"\xff\x80", b"a" * 15_000, b"a" * 20_000, b"\t"),
    b"Authorization": (b"Bearer x",),
    b"Cookie": (b"\xff=\xff; a",),
    b"X_Y": (b"1",),
}
METHODS = (
    b"GET",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"PROPFIND",
    b"POST",
    b"FOO",
    b"post",
)
PATHS = (
    b"/",
    b"/metrics",
    b"/openapi.json",
    b"/v2",
    b"/v2/",
    b"/v2/health/live",
    b"/v2/health/ready",
    b"/v2/models/stats",
    b"/v2/models/tiny",
    b"/v2/models/tiny/",
    b"/v2/models/tiny/ready",
    b"/v2/models/tiny/config",
    b"/v2/models/tiny/versions/3/stats",
    b"/v2/models/tiny/versions/999999999999999999999999/infer",
    b"/v2/models/tiny/versions/\xff/infer",
    b"/v2/models//infer",
    b"/v2/models/%00/infer",
    b"/v2/models/%2e%2e/infer",
    b"/v2/models/%FF%FE/ready",
    b"/v2/models/tiny/versions/-1/ready",
    b"/v2/models/tiny%0d%0aX:1/ready",
    b"/v2/repository/index",
    b"/v2/repository/models/tiny/load",
    b"/v2/repository/models/..%2f../unload",
    b"/v2/trace/setting",
    b"/v2/logging",
    b"/v2/systemsharedmemory/status",
    b"/v1/models",
    b"/v1/models/tiny",
    b"/v1/models/tiny:predict",
    b"/v1/models/:predict",
    b"/v1/models/a:b:predict",
    b"/v1/models/tiny:explain",
    b"//",
    b"/" + b"a" * 9000,
    b"/%",
    b"/%zz",
    b"/?" + b"&" * 500,
    b"*",
    b"http://x/v2",
    b"http://x",
    b"/v2/models/id_fp32/infer",
    b"/static/x",
    b"/favicon.ico",
    b"/v2/models/tiny/infer;x",
)


def _spoil_header(random, made):
    name = random.choice(list(HEADERS))
    value = random.choice(HEADERS[name])
    if random.random() < 0.2:
        value = value + bytes([random.randrange(0x21, 0xFF)])
        value = value.replace(b"\x7f", b"~")
    if made.headers and random.random() < 0.2:
        made.headers.pop(random.randrange(len(made.headers)))
    if random.random() < 0.1:
        name = random.choice((name.upper(), name.lower()))
    made.headers.append((name, value))


def _spoil_method(random, made):
    made.method = random.choice(METHODS)


def _spoil_path(random, made):
    made.path = random.choice(PATHS)
    if random.random() < 0.3:
        at = random.randrange(1, len(made.path) + 1)
        made.path = (
            made.path[:at]
            + random.choice((b"%", b"/", b"?", b"\xff", b"..", b"%2F", b";"))
            + made.path[at:]
        )
    made.served = None
    if random.random() < 0.6:
        made.method = random.choice(METHODS)


WAYS = (_spoil_header, _spoil_header, _spoil_method, _spoil_path)
