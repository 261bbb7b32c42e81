"""What the pictures read from one group of an analysis, checked at the door."""

import xarray as xr

from normlens.errors import InvalidInput


def require(data: xr.Dataset, *names: str) -> None:
    """Raise `InvalidInput` unless the data set has every variable in `names`."""
    missing = [name for name in names if name not in data.variables]
    if missing:
        raise InvalidInput(
            f"The picture needs {', '.join(missing)}, but the data set has {', '.join(map(str, data.data_vars))}. "
            "Give one group of an analysis, such as analysis['encoder'], or add the missing variables."
        )
