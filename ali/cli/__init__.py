"""The command line: its entry point, and which verbs it has. ``ali --help`` does not load torch.

=============  =====================================================================================
file           what
=============  =====================================================================================
verbs.py       the verbs of a finished run: short functions around those of a model
beginning.py   the verbs that need none: demo, prepare, train --resume
flags.py       arguments and flags that the verbs share, with their help
reading.py     what the verbs read: the model of a run, rows and their labels
writing.py     what the verbs write: rows as pictures, tables or numbers
labelling.py   labels, as they are typed, from files, or those of a run's own rows
training.py    ``ali train``: the flags of its recipes, the progress bar, signals
rehearsal.py   ``ali train --dry-run``
=============  =====================================================================================
"""

from __future__ import annotations

__all__ = ["application", "main"]

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, get_args

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError, convert

from ali import __version__
from ali.cli.beginning import demo, prepare, resume
from ali.cli.verbs import classify, decode, edit, encode, evaluate, export, interpolate, reconstruct, sample, score
from ali.errors import AliError

ABOUT = "Models that generate and infer: a decoder turns a code z into data x, an encoder turns x into z, a game trains both."


def application(tokens: list[str]) -> App:
    """The commands, as far as these tokens need them: the flags of ``ali train`` depend on data set, recipe and face."""
    # Rendering Markdown would cost half of the time that `ali --help` takes.
    app = App(
        name="ali",
        version=__version__,
        help=ABOUT,
        help_format="plaintext",
        default_parameter=Parameter(negative=(), consume_multiple=True, converter=_convert),
    )
    for verb in (demo, prepare, sample, encode, decode, reconstruct, interpolate, edit, score, classify, evaluate, export):
        app.command(verb)
    train = App(name="train", help="Train a game on a data set; its flags are the recipe's arguments.")
    app.command(train)
    train.default(resume)
    if tokens[:1] == ["train"]:
        from ali.cli import training

        training.add_commands(train, tokens)
    return app


def _convert(kind: Any, tokens: Sequence[Any]) -> Any:
    """As cyclopts does, but 2.5 is no whole number: it would round."""
    if kind is int or (int in get_args(kind) and float not in get_args(kind)):
        for token in tokens:
            if "." in token.value and not float(token.value).is_integer():
                raise ValueError(f"{token.value} is not a whole number")
    return convert(kind, tokens)


def main() -> None:
    """Entry point: run a command; what a user can mend is one clear sentence, not a traceback."""
    tokens = sys.argv[1:]
    warnings.formatwarning = lambda message, *_, **__: f"ali: {message}\n"
    try:
        application(tokens)(tokens, exit_on_error=False)
        sys.stdout.flush()
    except CycloptsError as error:  # cyclopts has printed it
        if tokens[:1] == ["train"] and isinstance(error, UnknownOptionError) and error.token.keyword:
            from ali.cli import training

            training.say_whose(error.token.keyword)
        raise SystemExit(2) from None
    except AliError as error:
        print(f"ali: {error}", file=sys.stderr)
        raise SystemExit(getattr(error, "status", 2)) from None
    except BrokenPipeError:
        # Who read what is printed has had enough, as `head` does; what is left in the buffer would be complained of once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except OSError as error:
        print(f"ali: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "out of memory" not in str(error) and "allocate memory" not in str(error):
            raise
        print(f"ali: that does not fit into memory: {_smaller(tokens)}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _smaller(tokens: list[str]) -> str:
    """What would need less memory."""
    if tokens[:1] == ["train"]:
        images = "; images that do not fit are decoded once with `ali prepare`" if "images" in tokens[1:2] else ""
        return f"take a smaller --batch-size, --width or --latent{images}"
    return "take fewer rows (--n)" if tokens[:1] == ["sample"] else "give it fewer rows at a time"
