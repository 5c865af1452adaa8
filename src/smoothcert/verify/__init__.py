"""Whether what is claimed follows from what was sampled: evidence of an input or a run as a file, and its verification.

``reference`` and ``reference_dual`` compute every bound once more and share no code with ``smoothcert.bounds``.
"""

from smoothcert.verify.checks import Check, verify_file, verify_run
from smoothcert.verify.evidence import Evidence, export_input
from smoothcert.verify.run_evidence import export_run, read_run_evidence, verify_run_evidence

__all__ = [
    "Check",
    "Evidence",
    "export_input",
    "export_run",
    "read_run_evidence",
    "verify_file",
    "verify_run",
    "verify_run_evidence",
]
