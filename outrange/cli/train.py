"""``outrange nar|lm|explore train``: the command line of a training is its configuration.

A first pass over the arguments reads what must be known before there are defaults (the preset, the algorithms, the
text, …), and makes the configuration that these name. A second pass parses the same arguments with that configuration's
own fields as flags: their types, defaults, docstrings and checks stand in its class, and nowhere here. A kind of run is
one class and one row of ``KINDS``.
"""

import dataclasses
import importlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import tyro

from outrange.cli import app
from outrange.cli.flags import Flag, mirror, naming, overlaid, paths, value_at
from outrange.cli.parser import parse
from outrange.cli.progress import TrainingProgress, training
from outrange.core.errors import BadInput

CONFIG = Flag(type=Path, metavar="FILE", help="a JSON file with a whole configuration, instead of a preset")


class Kind:
    """How one kind of run is configured, trained, and spoken of."""

    description: ClassVar[str]
    """the first part of the help of its ``train``"""
    module: ClassVar[str]
    """where the functions ``train`` and ``resume`` are found"""
    first: ClassVar[Mapping[str, Any]]
    """fields, by dotted name, that must be known before the defaults are, with what stands for them while they are not
    """
    examples: ClassVar[Mapping[str, Any]] = {}
    """what the help supposes for those that must be given"""
    next: ClassVar[str]
    """the command that one wants after a training"""

    def flags(self) -> dict[str, Flag]:
        """What the command line adds to fields of the configuration, by their dotted names."""
        return {}

    def extra(self) -> dict[str, Flag]:
        """Flags that are no fields of the configuration."""
        return {}

    def base(self, chosen: SimpleNamespace) -> Any:
        """The configuration that the first pass names.

        Args:
            chosen: the values of ``first``, with underscores for dots, of ``extra``, and ``config``, a file or None.
        """
        raise NotImplementedError

    def complete(self, config: Any, base: Any, chosen: SimpleNamespace) -> Any:
        """The configuration of the run, once the other flags have changed the base."""
        return config

    def run_name(self, config: Any, chosen: SimpleNamespace) -> str:
        """The name of the run's directory, if none is given."""
        raise NotImplementedError

    def title(self, config: Any) -> str:
        """What is trained, in a few words."""
        raise NotImplementedError

    def describe(self, values: Mapping[str, Any]) -> str:
        """The numbers one watches while it trains."""
        raise NotImplementedError

    def outcome(self, result: Mapping[str, Any]) -> str:
        """What came of the training, for the closing line; may be empty."""
        raise NotImplementedError

    def train(self, config: Any, path: Path, report: TrainingProgress | None) -> dict[str, Any]:
        """Train, or go on with a training that was stopped."""
        return self._function("train")(config, path, report and report.metrics)

    def resume(self, path: Path, report: TrainingProgress) -> dict[str, Any]:
        """Go on with the run that a directory holds."""
        return self._function("resume")(path, report.metrics)

    def _function(self, name: str) -> Callable[..., dict[str, Any]]:
        try:
            return getattr(importlib.import_module(self.module), name)
        except ModuleNotFoundError as error:
            kind = next((name for name, kind in KINDS.items() if kind is self), "")
            raise BadInput(f"run: a run of kind {kind!r} needs {error.name!r}, which is not installed") from None


class Reasoner(Kind):
    """A neural algorithmic reasoner."""

    description = (
        "Teach one reasoner one or several algorithms. "
        "A run that was stopped goes on when the command is given again.\n\n"
        "With several processes: `torchrun --nproc-per-node 2 -m outrange nar train …`."
    )
    module = "outrange.reasoning.nar"
    first: ClassVar = {"algorithms": (), "load": ()}
    examples: ClassVar = {"algorithms": ("bfs",)}
    next = "outrange nar eval {run} --split test"

    def flags(self) -> dict[str, Flag]:
        names = "names of `outrange clrs list`, or `all` for the thirty"
        return {
            "algorithms": Flag(markers=(tyro.conf.Positional,), metavar="ALGORITHM", help=names),
            "load": Flag(markers=(tyro.conf.UseAppendAction,), metavar="FILE"),
        }

    def extra(self) -> dict[str, Flag]:
        from outrange.reasoning.nar.config import PRESETS

        return {"preset": _one_of(PRESETS, "laptop", "the settings to begin from")}

    def base(self, chosen: SimpleNamespace) -> Any:
        from outrange.core.config import load
        from outrange.reasoning.clrs.load import load_modules
        from outrange.reasoning.nar.config import TrainConfig, preset

        load_modules(chosen.load)  # before names of algorithms and processors are checked
        if chosen.config is not None:
            if chosen.algorithms:
                file = str(chosen.config)
                raise BadInput(f"config: {file!r} names its algorithms itself; give either it or algorithms")
            config = load(TrainConfig, chosen.config)
        elif not chosen.algorithms:
            raise BadInput("algorithms: none given; name one or more, e.g. bfs, or all")
        else:
            config = preset(chosen.preset, chosen.algorithms)
        return replace(config, load=tuple(map(absolute, chosen.load))) if chosen.load else config

    def run_name(self, config: Any, chosen: SimpleNamespace) -> str:
        names = "all" if len(config.algorithms) == 30 else "+".join(config.algorithms)[:60]
        return f"{names}-{chosen.config.stem if chosen.config else chosen.preset}-{config.seed}"

    def title(self, config: Any) -> str:
        more = ", …" if len(config.algorithms) > 4 else ""
        return f"{', '.join(config.algorithms[:4])}{more} · {config.steps:,} steps"

    def describe(self, values: Mapping[str, Any]) -> str:
        score = f" · val {values['val']:.3f} (best {values['best']:.3f})" if "val" in values else ""
        return f"loss {values['loss']:.3f}{score}"

    def outcome(self, result: Mapping[str, Any]) -> str:
        best = f"best validation score {result['best_score']:.3f} at step {result['best_step']} · "
        return (best if result["best_score"] >= 0 else "") + f"kernels: {result['kernels']}"


class LanguageModel(Kind):
    """A small decoder language model."""

    description = (
        "Train one language model. A tenth of the documents is held out. "
        "A run that was stopped goes on when the command is given again."
    )
    module = "outrange.lm"
    first: ClassVar = {"text": ()}
    examples: ClassVar = {"text": ("PATH",)}
    next = "outrange lm eval {run}"

    def flags(self) -> dict[str, Flag]:
        return {"text": Flag(metavar="PATH")}

    def extra(self) -> dict[str, Flag]:
        from outrange.lm.config import PRESETS

        depth = "the model's layers, instead of the preset's; each has as many heads of 32 channels as there are layers"
        return {
            "preset": _one_of(PRESETS, "laptop", "the settings to begin from"),
            "depth": Flag(type=int, metavar="INT", help=depth),
        }

    def base(self, chosen: SimpleNamespace) -> Any:
        from outrange.core.config import load
        from outrange.lm.config import TrainConfig, preset, sized

        text = tuple(map(absolute, chosen.text))
        if chosen.config is not None:
            config = load(TrainConfig, chosen.config)
            config = replace(config, text=text or config.text)
        elif not text:
            advice = "name files or folders with --text; `outrange lm text DIR` fetches one to study with"
            raise BadInput(f"text: none given; {advice}")
        else:
            config = preset(chosen.preset, text)
        if chosen.depth is not None:
            config = replace(config, model=sized(chosen.depth, config.model.rotary))
        return config

    def complete(self, config: Any, base: Any, chosen: SimpleNamespace) -> Any:
        if config.tokenizer != base.tokenizer:
            config = replace(config, tokenizer=absolute(config.tokenizer))
        if config.separator != base.separator:  # \n and \t are typed as two characters
            config = replace(config, separator=config.separator.replace("\\n", "\n").replace("\\t", "\t"))
        return config

    def run_name(self, config: Any, chosen: SimpleNamespace) -> str:
        rotary, window = config.model.rotary.kind, config.model.sliding_window
        parts = [rotary, f"window{window}" if window else "", chosen.config.stem if chosen.config else chosen.preset]
        return "-".join([*filter(None, parts), str(config.seed)])

    def title(self, config: Any) -> str:
        return f"{config.model.rotary.kind} · {config.steps:,} steps"

    def describe(self, values: Mapping[str, Any]) -> str:
        perplexity = f" · perplexity {values['val']:.2f}" if "val" in values else ""
        return f"loss {values['loss']:.3f}{perplexity}"

    def outcome(self, result: Mapping[str, Any]) -> str:
        return "" if result["perplexity"] is None else f"held-out perplexity {result['perplexity']:.2f}"

    def train(self, config: Any, path: Path, report: TrainingProgress | None) -> dict[str, Any]:
        return self._function("train")(config, path, report and report.metrics, report and report.stage)


class Explorer(Kind):
    """An agent that explores."""

    description = "Train one agent. A run that was stopped goes on when the command is given again."
    module = "outrange.exploration"
    first: ClassVar = {"agent": None, "preset": None, "env.name": None}
    next = "outrange explore eval {run}"

    def flags(self) -> dict[str, Flag]:
        from outrange.exploration.agents import AGENTS
        from outrange.exploration.presets import PRESETS

        preset = "the settings to begin from; the one made for the environment if not given"
        return {
            "agent": _one_of(AGENTS, None, None),
            "preset": _one_of(PRESETS, None, preset),
            "env.name": Flag(aliases=("--env",), metavar="ID"),
        }

    def extra(self) -> dict[str, Flag]:
        option = "an option of the environment, e.g. size=15, beside those of its preset; may be repeated"
        markers = (tyro.conf.UseAppendAction,)
        return {
            "option": Flag(type=tuple[str, ...], default=(), metavar="NAME=VALUE", help=option, markers=markers),
        }

    def base(self, chosen: SimpleNamespace) -> Any:
        from outrange.core.config import load
        from outrange.exploration.config import TrainConfig
        from outrange.exploration.presets import fitting, preset

        if chosen.config is not None:
            if chosen.agent or chosen.preset:
                advice = "leave out --agent and --preset, or give them without --config"
                raise BadInput(f"config: {str(chosen.config)!r} is a whole configuration; {advice}")
            config = load(TrainConfig, chosen.config)
        else:
            name = chosen.preset or (fitting(chosen.env_name) if chosen.env_name else "disco")
            config = preset(name, chosen.agent)
        if chosen.env_name in (None, config.env.name):
            return config
        # The preset's options are those of its own environment, and mean nothing to another.
        return replace(config, env=replace(config.env, name=chosen.env_name, options=()))

    def complete(self, config: Any, base: Any, chosen: SimpleNamespace) -> Any:
        replaced = {pair.partition("=")[0] for pair in chosen.option}
        remaining = tuple(pair for pair in config.env.options if pair.partition("=")[0] not in replaced)
        return replace(config, env=replace(config.env, options=remaining + chosen.option))

    def run_name(self, config: Any, chosen: SimpleNamespace) -> str:
        return f"{config.agent}-{config.env.name.split('/')[-1]}-{config.seed}"

    def title(self, config: Any) -> str:
        return f"{config.agent} in {config.env.name} · {config.env.count} side by side · {config.steps:,} steps"

    def describe(self, values: Mapping[str, Any]) -> str:
        from outrange.exploration.metrics import EPISODE_METRICS

        parts = []
        for name in ("return", "coverage", "places", "length"):
            key = f"greedy_{name}" if f"greedy_{name}" in values else name  # greedy actors show what was learned
            if values.get(key):
                parts.append(f"{key.replace('_', ' ')} {values[key]:{EPISODE_METRICS[name].format}}")
        for name in ("bonus", "loss", "embedding_accuracy"):
            if name in values:
                parts.append(f"{name.replace('_', ' ')} {values[name]:.3g}")
        return " · ".join(parts)

    def outcome(self, result: Mapping[str, Any]) -> str:
        return self.describe(result["last"])


KINDS: dict[str, Kind] = {"nar": Reasoner(), "lm": LanguageModel(), "explore": Explorer()}


def configure(
    kind: Kind,
    program: str,
    description: str,
    arguments: Sequence[str],
    *,
    extra: Mapping[str, Flag] | None = None,
    hidden: Collection[str] = (),
) -> tuple[Any, SimpleNamespace]:
    """Read a command line as a configuration.

    Args:
        kind: of run.
        program: as the help shows it.
        description: the first part of the help.
        arguments: what was typed.
        extra: flags of the command itself.
        hidden: fields, by dotted name, that the command sets itself.

    Returns:
        The configuration, and the values of all flags that are none of its fields or were read before it was known.

    Raises:
        BadInput: an argument cannot be read, or a value is not allowed; the sentence begins with the flag.
    """
    from outrange.core.config import from_json, to_json

    flags, extra = kind.flags(), {**kind.extra(), "config": CONFIG, **(extra or {})}
    plain = [argument for argument in arguments if argument not in ("-h", "--help")]
    for_help = len(plain) < len(arguments)
    positional = {name for name, flag in flags.items() if tyro.conf.Positional in flag.markers}

    # First pass. Which fields there are does not depend on the preset, so that any configuration of the kind will do;
    # it is not checked.
    unknown = {name: flag.default for name, flag in extra.items()} | _attributes(kind.first)
    example = kind.base(SimpleNamespace(**unknown | _attributes(kind.examples)))
    read = parse(mirror(example, flags, extra, hidden, kind.first), program, plain, add_help=False)
    typed = {name: value_at(read, name) for name in kind.first}
    supposed = {name: value for name, value in kind.examples.items() if for_help and not typed[name]}
    chosen = SimpleNamespace(**{name: getattr(read, name) for name in extra}, **_attributes(typed | supposed))
    with naming({*extra, *kind.first} - positional):
        base = kind.base(chosen)

    # Second pass, with the defaults that the first has named. What the first has read stays as the base holds it: `all`
    # is thirty names by now.
    read = parse(
        mirror(base, flags, extra, hidden, {name: kind.first[name] for name in supposed}),
        program,
        arguments,
        description=description,
    )
    values = overlaid(to_json(base), dataclasses.asdict(read), without={*kind.first, *hidden})
    with naming({*paths(base), *extra} - positional):
        return kind.complete(from_json(type(base), values), base, chosen), chosen


def command(name: str) -> app.Configured:
    """The command ``train`` of a kind of run."""
    kind = KINDS[name]
    out = Flag(type=Path, metavar="DIR", help="the run's directory; below runs/, by what is trained, if not given")
    as_json = Flag(type=app.Json, default=False)

    def run(program: str, arguments: Sequence[str]) -> int:
        from outrange.core.run import default

        extra = {"out": out, "json": as_json}
        config, chosen = configure(kind, program, kind.description, arguments, extra=extra)
        path = chosen.out or default(name, kind.run_name(config, chosen))
        speaks = os.environ.get("RANK", "0") == "0"  # of several processes, the first
        with naming({*paths(config), *kind.extra()}), training(kind.describe, _title(kind, config, path)) as report:
            result = kind.train(config, path, report if speaks else None)
        return finished(kind, result, path, chosen.json) if speaks else 0

    return app.Configured(kind.description, run)


def _title(kind: Kind, config: Any, path: Path) -> str:
    return f"{kind.title(config)} · run: {path}"


def finished(kind: Kind, result: Mapping[str, Any], path: Path, as_json: bool) -> int:
    """Print what came of a training, and the command that one wants next; returns its exit code: 1 if it was stopped
    before its end.
    """
    if as_json:
        app.print_json({"run": str(path), **result})
        return int(result["stopped"])
    state = f"stopped at step {result['steps']}" if result["stopped"] else f"trained {result['steps']} steps"
    if not result["new_steps"]:
        state = f"already trained: {result['steps']} steps"
    outcome = kind.outcome(result)
    print(f"{state} in {result['seconds']:.0f} s{f' · {outcome}' if outcome else ''}")
    print(f"next: {f'outrange run resume {path}' if result['stopped'] else kind.next.format(run=path)}")
    return int(result["stopped"])


def _one_of(names: Collection[str], default: str | None, help: str | None) -> Flag:
    """A flag whose choices are the names in a table."""
    return Flag(type=Literal[tuple(names)], default=default, help=help)  # pyright: ignore[reportInvalidTypeForm]


def absolute(place: str) -> str:
    """A path that a run finds from anywhere; ``hub:NAME`` is none, and stays."""
    return place if not place or place.startswith("hub:") else str(Path(place).resolve())


def _attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace(".", "_"): value for name, value in values.items()}
