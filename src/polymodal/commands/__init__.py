"""What a user wants done, as plain functions: no printing, no HTTP. The command line and the web app are skins over them.

Each takes paths and plain values and gives a frozen dataclass that prints well and has `to_dict()` for programs.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Source": "sources",
        "Reading": "sources",
        "describe_data": "describing",
        "fit_model": "fitting",
        "FitResult": "fitting",
        "embed_data": "embedding",
        "EmbedResult": "embedding",
        "build_index": "indexing",
        "IndexResult": "indexing",
        "search_index": "searching",
        "SearchResult": "searching",
        "Term": "searching",
        "evaluate_model": "evaluating",
        "EvaluateResult": "evaluating",
        "compare_data": "comparing",
        "CompareSettings": "comparing",
        "CompareResult": "comparing",
        "Division": "comparing_data",
        "compare_missing_strategies": "comparing_missing",
        "MissingComparison": "comparing_missing",
        "align_files": "aligning",
        "AlignSettings": "alignment_settings",
        "AlignmentResult": "alignment_result",
        "SequenceReading": "alignment_sources",
        "diagnose_data": "diagnosing",
        "diagnose": "diagnosing",
        "Diagnosis": "diagnosing",
        "Effort": "diagnosing",
        "list_methods": "capabilities",
        "Capability": "capabilities",
        "Report": "report",
    },
)
