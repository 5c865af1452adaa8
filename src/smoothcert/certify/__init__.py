"""What samples a data set: names are resolved, the run is settled, and the inputs it lacks are sampled and stored.

``runs`` below it only stores and reads.
"""

from smoothcert.certify.engine import certify_run

__all__ = ["certify_run"]
