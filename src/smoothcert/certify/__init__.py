"""What samples a data set: names are resolved, the run is settled, and the inputs it lacks are sampled and stored.

``runs`` below it only stores and reads.
"""

from smoothcert.certify.running import certify_run
from smoothcert.spec import DataSpec, ExecutionSpec, ModelSpec, RunSpec, SamplingSpec

__all__ = ["DataSpec", "ExecutionSpec", "ModelSpec", "RunSpec", "SamplingSpec", "certify_run"]
