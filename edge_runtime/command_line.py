"""What `edge-runtime` can be asked, and its help."""

import argparse

_EXAMPLES = """\
examples:
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime serve
      serve the installed release on 127.0.0.1:8080 (PACKHORSE_LISTEN)
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime agent
      keep it up to date; `edge-runtime agent --help` lists what it needs to know
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime status --json
      what is installed, and what serves
  AIP_HTTP_PORT=8080 AIP_STORAGE_URI=gs://… edge-runtime serve
      as Vertex AI's serving container

exit code: 0 done or told to stop; 1 failed, with the reason on standard error;
2 wrong usage
"""

_SERVE = """\
environment of a gateway:
  PACKHORSE_STATE_DIR        absolute path of its slots, keys and reports; needed
  PACKHORSE_LISTEN           loopback address and port [127.0.0.1:8080]
  PACKHORSE_PROBATION_S      how long the former worker stays warm [60]
  PACKHORSE_BODY_MAX_BYTES   largest request [67108864]
  PACKHORSE_MEMORY_MAX_BYTES, _HEAD_S, _BODY_S, _IDLE_S, _WRITE_S, _RUN_S
                             the other limits, in bytes and seconds

environment on Vertex AI, all needed:
  AIP_HTTP_PORT, AIP_HEALTH_ROUTE, AIP_PREDICT_ROUTE, AIP_STORAGE_URI
  PACKHORSE_BUNDLE_SHA256    the one bundle that may be served

examples:
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime serve
  PACKHORSE_STATE_DIR=/var/lib/packhorse PACKHORSE_LISTEN=127.0.0.1:9000 \\
      edge-runtime serve
"""

_AGENT = """\
environment, needed:
  PACKHORSE_STATE_DIR        absolute path, the same as that of `serve`
  PACKHORSE_DEVICE           this gateway's name
  PACKHORSE_RING             its ring, 0..99
  PACKHORSE_MODEL            the model that it runs
  PACKHORSE_REPOSITORY_URL   the bucket that bundles come from
  PACKHORSE_ROOT_FILE        root.json, the metadata that it trusts
  PACKHORSE_ENROLL_URL       the function enroll_device
  PACKHORSE_REPORT_URL       the function receive_report
  PACKHORSE_ENROLL_TOKEN     at its first start: from `packhorse device invite`

environment, optional:
  PACKHORSE_VARIANTS         in order of preference [fp32]
  PACKHORSE_POLL_S           how often it looks by itself [300]
  PACKHORSE_PROBATION_S      how long a new release is watched [60]
  PACKHORSE_MQTT_URL         broker that tells it when to look; with
                             PACKHORSE_MQTT_PROTOCOL, _CA_FILE, _CERT_FILE, _KEY_FILE

example:
  set -a; . /etc/packhorse/gateway.env; set +a; edge-runtime agent
"""

_STATUS = """\
environment:
  PACKHORSE_STATE_DIR        absolute path, the same as that of `serve`; needed

examples:
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime status
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime status --json | jq .active
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="edge-runtime",
        description="Serve an ONNX model on a gateway or on Vertex AI.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text, epilog in (
        ("serve", "answer requests until told to stop", _SERVE),
        ("agent", "pull, verify, try and switch releases", _AGENT),
        ("status", "say what is installed and serves", _STATUS),
    ):
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == "status":
            command.add_argument("--json", action="store_true", help="for programs")
    return parser
