"""A report on a program: what is in it, what runs where, how long each operation takes, how far its numbers go and what rounding does to them.

    from executorch_coreml.sdk import report

    document = report.collect(Path("model.pte"))      # plain values: report.json
    Path("report.html").write_text(report.to_html(document))

Everything is measured on this machine, off Apple platforms by the portable engine on the CPU.
"""

from executorch_coreml.sdk.report.collect import Settings, collect
from executorch_coreml.sdk.report.page import to_html

__all__ = ["Settings", "collect", "to_html"]
