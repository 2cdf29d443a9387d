"""The command line: what an operator types.

Deploying, rolling back, backing up and restoring happen in this process, under
the same locks and with the same journal as a worker's, so that they work when
Redis or the worker does not. An error is shown as a message and a remedy,
never as a traceback.
"""

import logging
import os
import sys

import click

from worker import failpoints
from worker.cli import output
from worker.cli.commands import sheetanchor
from worker.cli.session import Session
from worker.errors import SheetanchorError


class _Warnings(logging.Handler):
    """Shows the few warnings of the program to the person."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        what = [f"{key}={vars(record)[key]}" for key in ("app", "error") if key in vars(record)]
        output.tell(" ".join([f"{record.levelname.lower()}: {record.getMessage()}", *what]))


def main() -> int:
    """Run the command that the arguments name; return its exit code (see `output`)."""
    os.umask(0o077)  # and of each process that this one starts
    session, json_too = Session(), "--json" in sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    logging.getLogger().handlers[:] = [_Warnings(logging.WARNING)]
    try:
        failpoints.refuse_outside_tests(os.environ)
        code = sheetanchor.main(prog_name="sheetanchor", obj=session, standalone_mode=False)
    except SheetanchorError as error:
        output.complain(error.message, error.remedy, json_too=json_too)
        return output.code_of_error(error)
    except click.ClickException as error:
        return _misused(error, json_too=json_too)
    except click.Abort:
        output.complain("It was interrupted.", "Run it again.", json_too=json_too)
        return output.FAILED
    except OSError as error:
        return _refused(error, json_too=json_too)
    return int(code or 0)


def _misused(error: click.ClickException, *, json_too: bool) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "sheetanchor"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        output.tell(error.format_message())
    else:
        remedy = f"See `{path} --help`."
        output.complain(error.format_message(), remedy, json_too=json_too)
    return output.WRONG


def _refused(error: OSError, *, json_too: bool) -> int:
    """Show what the system refused: mostly to somebody who is not root."""
    remedy = "Run it as root." if isinstance(error, PermissionError) else "Mend that, try again."
    output.complain(f"{error.filename or 'It'}: {error.strerror}.", remedy, json_too=json_too)
    return output.WRONG if isinstance(error, PermissionError) else output.FAILED
