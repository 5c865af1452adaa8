"""Where people keep results: a run as a repository of the Hugging Face Hub, in MLflow, and in a model card."""

from smoothcert.sharing.hub import push_to_hub
from smoothcert.sharing.mlflow_run import log_to_mlflow
from smoothcert.sharing.model_index import model_index, model_index_yaml
from smoothcert.sharing.package import write_package

__all__ = ["log_to_mlflow", "model_index", "model_index_yaml", "push_to_hub", "write_package"]
