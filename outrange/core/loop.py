"""The books that every training keeps around its steps: which step is the last, the lines of its logs, when to save,
and what came of it.

The steps themselves stand in the loop of each training, which reads straight down:

    with TrainingLoop(run, step=trainer.step, steps=config.steps, checkpoint_every=100) as loop:
        while loop.running(trainer.step):
            metrics = trainer.advance()
            loop.log(trainer.step, metrics)                     # a line of metrics.jsonl and one of timing.jsonl
            loop.report(trainer.step, metrics)                  # whoever watches
            if loop.checkpoint_due(trainer.step):
                loop.save(trainer.step, **trainer.state_dict())
        if loop.saved_step is None:                             # a training of no steps leaves its first weights
            loop.save(trainer.step, **trainer.state_dict())
    return loop.result(trainer.step)

``metrics.jsonl`` holds what a resumed run repeats exactly; ``timing.jsonl`` what depends on the machine. A training is
*stopped* if it ended, on SIGTERM or Ctrl-C, before its last step; the checkpoint that it saved then is where it goes
on.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from outrange.core import metrics as metrics_log
from outrange.core.run import Run, Stopping

if TYPE_CHECKING:
    from outrange.core.sealed import Tensors

ReportMetrics = Callable[[dict[str, Any]], None]


class TrainingLoop:
    """Enter it when the run's last checkpoint has been restored: its clock starts then."""

    def __init__(
        self,
        run: Run | None,
        *,
        step: int,
        steps: int,
        checkpoint_every: int,
        keep: int = 2,
        report_metrics: ReportMetrics | None = None,
        agree: Callable[[bool], bool] = bool,
    ) -> None:
        """
        Args:
            run: where to log and save; None in the further processes of a training, which do neither.
            step: at which this process begins: 0, or that of the restored checkpoint.
            steps: of the whole training.
            checkpoint_every: steps between checkpoints; the last step is saved in any case.
            keep: how many of the newest checkpoints stay.
            report_metrics: called after every step with ``step``, ``steps``, ``seconds`` and what ``report`` was given.
            agree: with several processes, makes of this one's wish to stop what all do; called once a step.
        """
        self.run, self.steps, self.start = run, steps, step
        self.checkpoint_every, self.keep = checkpoint_every, keep
        self.saved_step: int | None = step or None
        """the step of the newest checkpoint; None if there is none yet"""
        self._report_metrics, self._agree = report_metrics, agree
        self._stopping, self._stop_requested = Stopping(), False
        self._seconds_before, self._began, self._cpu_began = 0.0, 0.0, 0.0

    def __enter__(self) -> "TrainingLoop":
        if self.run:
            lines = metrics_log.read(self.run.path / "timing.jsonl")  # Run.load took it back to the restored step
            self._seconds_before = float(lines[-1]["seconds"]) if lines else 0.0
        # from here on SIGTERM and Ctrl-C only ask
        self._stopping.__enter__()
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stopping.__exit__(*exception)

    @property
    def seconds(self) -> float:
        """Seconds that this process has trained."""
        return time.perf_counter() - self._began

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds that this process has trained."""
        return time.process_time() - self._cpu_began

    def running(self, step: int) -> bool:
        """Whether there is another step to do."""
        return step < self.steps and not self._stop_requested

    def log(self, step: int, metrics: Mapping[str, Any], **pace: Any) -> None:
        """Write a line of metrics, and one of timing: all seconds so far, steps a second of this process, and what else
        there is to say of its ``pace``.
        """
        if self.run:
            self.run.metrics.write(step=step, **metrics)
            # the pace is this process's own; the seconds are those of all before it as well
            seconds = self.seconds
            timing = {"steps_per_second": round((step - self.start) / seconds, 3)} | pace
            self.run.timing.write(step=step, seconds=round(self._seconds_before + seconds, 3), **timing)

    def report(self, step: int, values: Mapping[str, Any]) -> None:
        """Show where the training is."""
        if self._report_metrics:
            self._report_metrics({"step": step, "steps": self.steps, "seconds": self.seconds} | dict(values))

    def checkpoint_due(self, step: int) -> bool:
        """Whether to save now: at the last step, when a multiple of ``checkpoint_every`` was reached or passed, or on a
        request to stop, which is noticed here. Call it once after every step, in every process.
        """
        # asked once a step, in every process at the same step, or they would wait for one another
        self._stop_requested = self._agree(self._stopping.requested)
        # steps may come in strides: a multiple counts when it lies between the last save and now
        passed = step // self.checkpoint_every > (self.saved_step or 0) // self.checkpoint_every
        return self.run is not None and (self._stop_requested or passed or step >= self.steps)

    def save(self, step: int, tensors: "Mapping[str, Tensors]", state: Mapping[str, Any]) -> None:
        """Save a checkpoint, unless this step has one."""
        if self.run and step != self.saved_step:
            self.run.save(step, tensors, state, keep=self.keep)
            self.saved_step = step

    def result(self, step: int) -> dict[str, Any]:
        """What came of it, at the step that was reached: ``steps``, ``seconds`` of all processes one after another,
        ``new_steps`` of this one, and whether it was ``stopped`` before its last step.
        """
        return {
            "steps": step,
            "seconds": self._seconds_before + self.seconds,
            "new_steps": step - self.start,
            "stopped": step < self.steps,
        }
