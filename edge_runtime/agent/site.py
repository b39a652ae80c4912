"""What the site allows: its hold, its windows, and the commands that it wrote.

| stage | waits for |
| --- | --- |
| every one | the hold file to go |
| pull | `PACKHORSE_DOWNLOAD_WINDOW`, then the yes of `PACKHORSE_MAY_DOWNLOAD` |
| install, try | `PACKHORSE_WINDOW` |
| switch | `PACKHORSE_WINDOW`, the yes of `PACKHORSE_MAY_SWITCH`, then of the script |
| | `PACKHORSE_BEFORE_SWITCH` |

A withdrawal asks nobody: what serves must not, and each of these could keep it
there for ever. The scripts are told of it, and their no is not heard.

Source: docs/adr/0019-a-withdrawal-asks-nobody.md
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.errors import WaitError
from edge_runtime.agent.machine import Stage
from edge_runtime.agent.memory import Deployment
from edge_runtime.commands import Command, Ended, run_command
from edge_runtime.hold import read_hold
from edge_runtime.settings.site_settings import SiteSettings
from edge_runtime.windows import Windows
from packhorse.names import Release

_YES = 0
_NO = 1


@dataclass(frozen=True, slots=True)
class Site:
    """The rules of the place where this gateway stands.

    Attributes:
        clock: Says what time it is, and whether that is known to be wrong.
        tick: Called while a command runs.
    """

    state_dir: Path
    settings: SiteSettings
    clock: Clock
    tick: Callable[[], None] = lambda: None

    def check(self, deployment: Deployment) -> None:
        """Let a deployment's next stage run.

        Raises:
            WaitError: It may not be run now.
        """
        if deployment.is_withdrawal:
            return
        self._check_hold()
        settings = self.settings
        match deployment.stage:
            case Stage.PULL:
                self._check_window(
                    settings.download_window, "PACKHORSE_DOWNLOAD_WINDOW"
                )
                self._ask(settings.may_download, deployment)
            case Stage.INSTALL | Stage.TRY:
                self._check_window(settings.window, "PACKHORSE_WINDOW")
            case Stage.SWITCH:
                self._check_window(settings.window, "PACKHORSE_WINDOW")
                self._ask(settings.may_switch, deployment)

    def before_switch(self, deployment: Deployment, former: Release | None) -> None:
        """Run the script that prepares a switch.

        Raises:
            WaitError: It says, or by failing means, that now is no time.
        """
        command = self.settings.before_switch
        if command is None:
            return
        ended = self._run(command, deployment, deployment.release, former)
        if ended.code != _YES and not deployment.is_withdrawal:
            raise WaitError(ended.sentence(command), kind=f"{command.setting} failed")

    def after_switch(
        self,
        deployment: Deployment,
        serving: Release | None,
        former: Release | None,
    ) -> str:
        """Run the script that follows a switch, or one that came to nothing.

        Returns:
            Why it failed, if it did and is heard.
        """
        command = self.settings.after_switch
        if command is None:
            return ""
        ended = self._run(command, deployment, serving, former)
        is_heard = ended.code != _YES and not deployment.is_withdrawal
        return ended.sentence(command) if is_heard else ""

    def _check_hold(self) -> None:
        reason = read_hold(self.state_dir)
        if reason is not None:
            words = f": {reason}" if reason else ""
            raise WaitError(f"held at the gateway{words}", kind="hold", is_hold=True)

    def _check_window(self, windows: Windows, setting: str) -> None:
        if not windows.spans:
            return
        now = self.clock.now()
        if self.clock.is_wrong:
            reason = f"{setting} is set, and this machine's clock is wrong"
            raise WaitError(reason, kind="clock")
        # The wall's own time, by the TZ that this process was started with.
        if not windows.is_open(now.astimezone()):
            reason = f"it is not the time of {setting}: {windows.text}"
            raise WaitError(reason, kind=setting)

    def _ask(self, command: Command | None, deployment: Deployment) -> None:
        """Ask a command for its yes.

        Raises:
            WaitError: It said no, or nothing that could be understood.
        """
        if command is None:
            return
        ended = self._run(command, deployment, deployment.release, None)
        if ended.code != _YES:
            how = "says no" if ended.code == _NO else "failed"
            raise WaitError(ended.sentence(command), kind=f"{command.setting} {how}")

    def _run(
        self,
        command: Command,
        deployment: Deployment,
        release: Release | None,
        former: Release | None,
    ) -> Ended:
        environment = {
            **self.settings.environment,
            "PACKHORSE_STAGE": deployment.stage.value,
            "PACKHORSE_RELEASE": str(release) if release else "",
            "PACKHORSE_FORMER_RELEASE": str(former) if former else "",
            "PACKHORSE_IS_WITHDRAWAL": "1" if deployment.is_withdrawal else "0",
        }
        limit_s = self.settings.hook_s
        return run_command(command, environment, limit_s=limit_s, tick=self.tick)
