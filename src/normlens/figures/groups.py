"""What the pictures read from one group of an analysis, checked at the door."""

import numpy as np
import xarray as xr

from normlens.errors import InvalidInput

CATEGORIES = ("special", "first token", "punctuation", "other")


def require(data: xr.Dataset, *names: str) -> None:
    """Raise `InvalidInput` unless the data set has every variable in `names`."""
    missing = [name for name in names if name not in data.variables]
    if missing:
        raise InvalidInput(
            f"The picture needs {', '.join(missing)}, but the data set has {', '.join(map(str, data.data_vars))}. "
            "Give one group of an analysis, such as analysis['encoder'], or add the missing variables."
        )


def source_categories(data: xr.Dataset) -> np.ndarray:
    """Return one of `CATEGORIES` for each source, shape ``(source,)``; a special first token counts as special."""
    require(data, "source_category")
    categories = data["source_category"].values.astype(str)
    first = (data["source"].values == 0) & (categories != "special")
    return np.where(first, "first token", np.where(np.isin(categories, CATEGORIES), categories, "other"))
