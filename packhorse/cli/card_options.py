"""The options of a push that say what a model is, and what it must show.

They become the model card, and its limits the manifest's: docs/protocol.md, 2.
"""

import click

from packhorse.cli import output
from packhorse.cli.options import grouped, parsed
from packhorse.cli.push_files import parse_tolerances
from packhorse.errors import MalformedError
from packhorse.model_card import ModelCard
from packhorse.names import check_model
from packhorse.shadow_limits import (
    DEFAULT_MIN_REQUESTS,
    LATENCY_RATIO_MAX,
    MIN_REQUESTS_MAX,
    ShadowLimits,
)


def _make_limits(
    min_agreement: float | None,
    max_latency_ratio: float | None,
    min_requests: int | None,
) -> ShadowLimits:
    limits = ShadowLimits(
        min_agreement, max_latency_ratio, min_requests or DEFAULT_MIN_REQUESTS
    )
    if min_requests is not None and not limits.can_refuse:
        raise click.UsageError(
            "--min-requests needs --min-agreement or --max-latency-ratio"
        )
    return limits


def _make_card(
    name: str, owner: str, licence: str, description: str, tolerances: tuple[str, ...]
) -> ModelCard:
    try:
        parsed_tolerances = parse_tolerances(tolerances)
    except MalformedError as error:
        hint = "'--tolerance'"
        raise click.BadParameter(output.plain(error), param_hint=hint) from error
    return ModelCard(name, owner, licence, parsed_tolerances, description)


limits_options = grouped(
    "limits",
    _make_limits,
    click.option(
        "--min-agreement",
        type=click.FloatRange(0.0, 1.0, min_open=True),
        help="Least share of live requests that a gateway must see answered as the "
        "release before did. [default: any]",
    ),
    click.option(
        "--max-latency-ratio",
        type=click.FloatRange(0.0, LATENCY_RATIO_MAX, min_open=True),
        help="Most time that it may take there, in that of the release before. "
        "[default: any]",
    ),
    click.option(
        "--min-requests",
        type=click.IntRange(1, MIN_REQUESTS_MAX),
        help="Live requests below which neither is judged. "
        f"[default: {DEFAULT_MIN_REQUESTS}]",
    ),
)

card_options = grouped(
    "card",
    _make_card,
    click.option(
        "--name",
        required=True,
        callback=parsed(check_model),
        help="The model's name, for example magika.",
    ),
    click.option(
        "--owner", default="unknown", show_default=True, help="Who answers for it."
    ),
    click.option(
        "--licence", default="unknown", show_default=True, help="SPDX expression."
    ),
    click.option("--description", default="", help="A sentence for people."),
    click.option(
        "--tolerance",
        "tolerances",
        multiple=True,
        metavar="OUTPUT[@ARCH]=ABS,REL[,MARGIN]",
        help="How far an output may lie from its golden value, on every machine or "
        "on x86_64 or aarch64 alone; with MARGIN, the greatest element must be the "
        "same unless it led by no more. May be repeated. [default: 1e-4,1e-3]",
    ),
)
