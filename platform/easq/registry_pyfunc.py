"""The version as an MLflow pyfunc: models from code, nothing pickled.

    mlflow.pyfunc.load_model("models:/easq-ranker@champion").predict(requests)

`requests` is a DataFrame, one row a request: user_id, scenario, request_time_ms, the user's
features (user.*), and as lists with one element a candidate item_id, the candidates' features
(item.*) and scores of earlier models (upstream.*), named as in the samples; other columns are
ignored. The answer has one column, `scores`: a list a request, in the order of its candidates.
"""

import importlib.metadata
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import save_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from easq.artefact import VersionFile, load_ranker
from easq.features import FeatureSpec
from easq.samples import request_columns, request_schema

FILES_OF_VERSION = "artifacts/version"
"""Where the version directory lies among the artefacts of the registered version."""

TYPES = {
    pa.int64(): DataType.long,
    pa.float32(): DataType.double,  # what Python and JSON call a number
    pa.string(): DataType.string,
}
SCORES = pa.list_(pa.float32())


class PyfuncRanker(PythonModel):
    """y-hat of the version it was published with."""

    def load_context(self, context: PythonModelContext) -> None:
        self.ranker = load_ranker(Path(context.artifacts["version"]))

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride], declared to return None
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        schema = request_schema(self.ranker.spec)
        table = pa.Table.from_pandas(model_input, schema=schema, preserve_index=False)
        columns = request_columns(table)
        scores = np.split(self.ranker.score(columns), np.cumsum(columns.lengths)[:-1])
        return pd.DataFrame({"scores": [s.tolist() for s in scores]}, index=model_input.index)


def save_pyfunc(path: Path, version: Path) -> None:
    """Write a pyfunc model that holds a copy of a version directory."""
    spec = VersionFile.model_validate_json((version / "version.json").read_text()).features
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about type hints, which the signature makes needless
        named = Path(folder) / FILES_OF_VERSION
        shutil.copytree(version, named)
        save_model(
            path,
            python_model=str(Path(__file__).resolve()),
            artifacts={"version": str(named)},
            signature=ModelSignature(_inputs(spec), Schema([_column("scores", SCORES)])),
            pip_requirements=[f"easq=={importlib.metadata.version('easq')}"],
        )


def _inputs(spec: FeatureSpec) -> Schema:
    return Schema([_column(f.name, f.type) for f in request_schema(spec)])


def _column(name: str, dtype: pa.DataType) -> ColSpec:
    if pa.types.is_list(dtype):
        return ColSpec(Array(TYPES[dtype.value_type]), name)
    return ColSpec(TYPES[dtype], name)


set_model(PyfuncRanker())  # what MLflow runs this file for
