"""Errors of flags and variables: one line for each that is wrong, and which of them set what."""

import difflib
import os
from collections.abc import Sequence
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from tasks.core.base_settings import Settings

PREFIX = "IMDB_"


Loc = tuple[int | str, ...]  # the path of a setting, as ("data", "maxlen")


def is_section(field: FieldInfo) -> bool:
    """Return whether a setting has settings of its own."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, Settings)


def variables_read(flags: type[BaseSettings]) -> dict[Loc, str]:
    """Return the environment variables that set something, by the path of the setting."""
    found: dict[Loc, str] = {}
    for name in os.environ:
        loc = tuple(name.lower().removeprefix(PREFIX.lower()).split("__"))
        field = flags.model_fields.get(loc[0]) if name.upper().startswith(PREFIX) else None
        if field and is_section(field) == (len(loc) > 1):
            found[loc] = name
    return found


def is_flag(loc: Loc, arguments: Sequence[str]) -> bool:
    """Return whether the command line sets a setting."""
    name = ".".join(str(part).replace("_", "-") for part in loc)
    return any(word.partition("=")[0] in (f"--{name}", f"--no-{name}") for word in arguments)


def is_secret(field: FieldInfo | None) -> bool:
    """Return whether a setting must not be shown."""
    return field is not None and SecretStr in (field.annotation, *get_args(field.annotation))


def describe_mistake(
    mistake: ErrorDetails, settings_model: type[Settings], variables: dict[Loc, str], preset: str
) -> str:
    """Return one line for an invalid setting: the flag, variable or preset that set it, its value and the reason."""
    loc = mistake["loc"]
    path = ".".join(str(part).replace("_", "-") for part in loc)
    message = mistake["msg"].removeprefix("Value error, ")
    flag, remedy = f"--{path}", ""
    within = [name for place, name in variables.items() if place[: len(loc)] == loc]  # of a section, several
    around = [name for place, name in variables.items() if place == loc[: len(place)]]
    if around:
        flag, remedy = around[0], f"; fix or unset it, or give --{path}"
    elif within:
        remedy = f"; the environment sets {', '.join(sorted(within))}"
    if not loc:
        return f"{message}{remedy}"
    if mistake["type"] == "extra_forbidden":
        section = settings_model.model_fields.get(str(mistake["loc"][0]))
        known = list(getattr(section.annotation, "model_fields", {})) if section else list(settings_model.model_fields)
        near = difflib.get_close_matches(str(mistake["loc"][-1]), known, 1)
        # The parser has refused unknown flags.
        is_of_preset = preset and not around
        place = f"{preset}: {'.'.join(map(str, loc))}" if is_of_preset else flag
        other = "; remove it from the file" if is_of_preset else ""
        return f"{place}: no such setting" + (f"; did you mean {near[0]}?" if near else other)
    given = mistake["input"]
    is_shown = isinstance(given, str | int | float) and "://" not in str(given)
    shown = f" {given}" if is_shown and not is_secret(settings_model.model_fields.get(str(loc[0]))) else ""
    return f"{flag}{shown}: {message[0].lower()}{message[1:]}{remedy}"
