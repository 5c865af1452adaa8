"""Whether what is claimed follows from what was sampled: evidence of one input as a file, and its verification.

``reference`` and ``reference_dual`` compute every bound once more and share no code with ``smoothcert.bounds``.
"""

from smoothcert.verify.checks import Check, verify_file, verify_run
from smoothcert.verify.evidence import Evidence, export_input

__all__ = ["Check", "Evidence", "export_input", "verify_file", "verify_run"]
