"""What `edge-runtime` can be asked, and its help."""

import argparse

from edge_runtime.bench import options as bench_options
from edge_runtime.prediction_log import options as log_options

_EXAMPLES = """\
examples:
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime serve
      serve the installed release on 127.0.0.1:8080 (PACKHORSE_LISTEN)
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime agent
      keep it up to date; `edge-runtime agent --help` lists what it needs to know
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime status --json
      what is installed, and what serves
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime rollback
      go back to the release before, also without a network
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime log --follow
      what was asked and predicted; `edge-runtime log --help` says how to choose
  edge-runtime bench http://127.0.0.1:8080
      how fast it predicts; `edge-runtime bench --help` says for whom else
  AIP_HTTP_PORT=8080 AIP_STORAGE_URI=gs://… edge-runtime serve
      as Vertex AI's serving container

exit code: 0 done or told to stop; 1 failed, with the reason on standard error;
2 wrong usage
"""

_SERVE = """\
environment of a gateway:
  PACKHORSE_STATE_DIR        absolute path of its slots, keys and reports; needed
  PACKHORSE_MODELS_DIR       absolute path of more models, as
                             <name>/<version>/model.onnx, beside the installed
                             release [none]
  PACKHORSE_ALLOW_LOAD       1: clients may load and unload those [0]

how a new release is watched:
  PACKHORSE_PROBATION_S      seconds for which the former worker stays warm [60]
  PACKHORSE_HEALTH_COMMAND   for the shell; what it says no to on this probation is
                             gone back from; gets PACKHORSE_RELEASE and
                             PACKHORSE_PORT [none]
  PACKHORSE_HEALTH_EVERY_S   seconds from one run of it to the next [5]
  PACKHORSE_HEALTH_LIMIT_S   seconds that it may take [5]
  PACKHORSE_HEALTH_FAILURES_MAX
                             runs in a row that must fail [3]

who may ask:
  PACKHORSE_LISTEN           IP address, or localhost, and port [127.0.0.1:8080]; an
                             address that others reach needs one of the three below
  PACKHORSE_TOKEN_FILE       tokens, one a line, of which clients send one as
                             `Authorization: Bearer …`; health needs none [none]
  PACKHORSE_TLS_CERT_FILE, _TLS_KEY_FILE, _TLS_CLIENT_CA_FILE
                             speak TLS; with the last, to clients that it vouches
                             for [none: plain HTTP]
  PACKHORSE_LISTEN_UNPROTECTED
                             1: all the world may ask [0]

how much; these limits hold for each process by itself:
  PACKHORSE_PROCESSES        processes that answer, for models whose runs use one
                             thread [1]
  PACKHORSE_BODY_MAX_BYTES   largest request [67108864]
  PACKHORSE_MEMORY_MAX_BYTES address space beside eight times the models
                             [4294967296]
  PACKHORSE_HEAD_S           seconds for a request's head to arrive [10]
  PACKHORSE_BODY_S           seconds for its body [30]
  PACKHORSE_IDLE_S           seconds that a connection may wait for the next [75]
  PACKHORSE_WRITE_S          seconds for a client to read 64 KiB of an answer [30]
  PACKHORSE_RUN_S            seconds of one run of a model [30]
  PACKHORSE_STOP_S           seconds for the last answers when told to stop [10]
  PACKHORSE_BATCH_ROWS_MAX   rows that are run together [64]; 1: each alone
  PACKHORSE_BATCHES_AHEAD_MAX
                             batches that a request may wait behind [64]

what is kept of requests and answers:
  PACKHORSE_PREDICTION_LOG   full, summary or off [summary]
  PACKHORSE_PREDICTION_LOG_RATIO
                             share of the requests [0.01]; below 1 at most ten a
                             second of each process
  PACKHORSE_PREDICTION_LOG_MAX_BYTES
                             disk that it takes in all [67108864]

environment on Vertex AI, all needed:
  AIP_HTTP_PORT, AIP_HEALTH_ROUTE, AIP_PREDICT_ROUTE, AIP_STORAGE_URI
  PACKHORSE_BUNDLE_SHA256    the one bundle that may be served

examples:
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime serve
  PACKHORSE_STATE_DIR=/var/lib/packhorse PACKHORSE_LISTEN=127.0.0.1:9000 \\
      edge-runtime serve
  (umask 077; openssl rand -hex 32 > /etc/packhorse/token)
  PACKHORSE_STATE_DIR=/var/lib/packhorse PACKHORSE_LISTEN=0.0.0.0:8080 \\
      PACKHORSE_TOKEN_FILE=/etc/packhorse/token edge-runtime serve
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
  PACKHORSE_TOKEN_URL        the function device_token, where the bucket is private
                             [none: anybody may read it]
  PACKHORSE_CA_FILE          the only authorities that may vouch for these servers,
                             in PEM [those of the machine]
  PACKHORSE_VARIANTS         in order of preference [fp32]
  PACKHORSE_POLL_S           how often it looks by itself [300]
  PACKHORSE_PROBATION_S      how long a new release is watched [60]
  PACKHORSE_SHADOW_S         how long a candidate is run on live requests, beside the
                             release that serves [60]
  PACKHORSE_SHADOW_REQUESTS  after so many it ends earlier [200]
  PACKHORSE_SHADOW_MIN_AGREEMENT, PACKHORSE_SHADOW_MAX_LATENCY_RATIO
                             limits of this gateway; they can only be stricter than
                             those of the release [none]
  PACKHORSE_DOWNLOAD_BYTES_PER_S
                             how fast a bundle may come [0: as fast as it does]
  PACKHORSE_ARCHIVE_BYTES    disk for bundles of releases that ran here; 0 keeps
                             none [268435456]
  PACKHORSE_MQTT_URL         broker that tells it when to look; with
                             PACKHORSE_MQTT_PROTOCOL, _CA_FILE, _CERT_FILE, _KEY_FILE

when this site may be changed; a withdrawal asks nobody:
  PACKHORSE_WINDOW           local times in which a release may be installed, tried
                             and switched to, `Mon-Fri 22:00-05:00, Sat 00:00-24:00`
                             [always]
  PACKHORSE_DOWNLOAD_WINDOW  the same for downloads [PACKHORSE_WINDOW]
  PACKHORSE_MAY_DOWNLOAD, PACKHORSE_MAY_SWITCH
                             commands: exit code 0 says yes, 1 not now; any other,
                             or none in time, not now either [yes]
  PACKHORSE_BEFORE_SWITCH    script; where it fails the switch waits [none]
  PACKHORSE_AFTER_SWITCH     script; where it fails the release is rolled back [none]
  PACKHORSE_HOOK_S           seconds for each of these [60]

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

_ROLLBACK = """\
environment:
  PACKHORSE_STATE_DIR        absolute path, the same as that of `serve`; needed

The release that is gone back from is not installed again until its rollout is
another. Within a second while the former worker is warm, PACKHORSE_PROBATION_S
after a switch; later it takes the time in which the model starts. No network is
needed; where no `serve` runs, the next one serves the former release.

examples:
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime rollback
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime rollback \\
      --reason "reads the meter wrongly"
"""

_HOLD = """\
environment:
  PACKHORSE_STATE_DIR        absolute path, the same as that of `serve`; needed

While it is held, a gateway begins nothing new; what serves goes on. A withdrawal is
obeyed all the same: what serves and was withdrawn gives way to the release before, or
to nothing. To keep a gateway as it is at any price, stop its agent. It is the file
`hold` in the state directory that does it, which may be made by other means too.

examples:
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime hold --reason "audit until 5"
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime hold --off
"""

_ROTATE_KEY = """\
environment:
  PACKHORSE_STATE_DIR        absolute path, the same as that of `agent`; needed

The agent makes a new key at its next look and tells the cloud, vouched for by the
old one. The old one signs until the cloud has confirmed. From afar, the same is
done by `packhorse device rotate`.

example:
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime rotate-key
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
        ("rollback", "go back to the release before", _ROLLBACK),
        ("hold", "begin nothing new here, until told to go on", _HOLD),
        ("rotate-key", "give this gateway another key", _ROTATE_KEY),
        ("log", "show what was asked and predicted", log_options.HELP),
        ("bench", "measure how fast a server predicts", bench_options.HELP),
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
        if name in {"rollback", "hold"}:
            command.add_argument("--reason", default="", help="why; is reported")
        if name == "hold":
            command.add_argument("--off", action="store_true", help="go on")
        if name == "log":
            log_options.add_options(command)
        if name == "bench":
            bench_options.add_options(command)
    return parser
