"""What the flow of a prediction is put together from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.adapters.bearer_token import BearerToken
from functions.adapters.deployed_releases import DeployedReleases
from functions.prediction.admission import Admission
from functions.prediction.answered import Answered
from functions.prediction.attempts import Attempts
from functions.prediction.bodies import Bodies
from functions.prediction.expected import Expectations
from functions.prediction.underway import Underway
from functions.setting_values import PredictSettings

if TYPE_CHECKING:
    from functions.prediction.inference_log import InferenceLog
    from functions.prediction.shadow import Shadow


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each, for a process.

    Attributes:
        shadow: None where no model has a share of requests to shadow.
        inference_log: None where nothing is sampled.
    """

    settings: PredictSettings
    token: BearerToken
    releases: DeployedReleases
    attempts: Attempts
    admission: Admission
    bodies: Bodies
    underway: Underway
    expectations: Expectations
    answered: Answered
    shadow: "Shadow | None"
    inference_log: "InferenceLog | None"
