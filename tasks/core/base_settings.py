"""What all settings have in common: frozen, no unknown keys, and the values that several of them take."""

from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
# MLflow refuses / and : in a model's name, and cannot search for one with a quote or a backslash.
NOT_IN_MODEL_NAMES = "/:'\"\\"


def check_model_name(name: str) -> str:
    """Return the name of a registered model."""
    if any(letter in NOT_IN_MODEL_NAMES for letter in name) or not name.isprintable() or set(name) <= set(". "):
        raise ValueError("expected a model's name without / : ' \" \\ and line breaks, because MLflow refuses them")
    return name


ModelName = Annotated[str, Field(min_length=1, max_length=250), AfterValidator(check_model_name)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]


class Settings(BaseModel):
    """Frozen, and an unknown key is an error: a misspelt setting never passes for a default. Numbers are finite."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _none_may_be_a_word(cls, value: Any, info: ValidationInfo) -> Any:
        # The command line and the environment read it as nothing, also where it is one of the words to choose from.
        words = get_args(cls.model_fields[info.field_name or ""].annotation)
        return "none" if value is None and "none" in words else value
