"""Metrics as pure functions of arrays: retrieval, correlation, alignment, clustering, calibration, robustness.

A metric never learns. Retrieval metrics give one number a query, so that an interval can be put on their mean.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "PathError": "alignment",
        "path_error": "alignment",
        "MatchScores": "alignment",
        "match_scores": "alignment",
        "alignment_error_rate": "alignment",
        "paired_correlations": "correlation",
        "held_out_correlations": "correlation",
        "HeldOutCorrelations": "correlation",
        "wilks_test": "correlation",
        "WilksTest": "correlation",
        "permutation_test": "correlation",
        "PermutationTest": "correlation",
        "permutation_test_of_many": "correlation",
        "pairwise_correlations": "correlation",
        "independence_test": "correlation",
        "IndependenceTest": "correlation",
        "Interval": "intervals",
        "bootstrap_interval": "intervals",
        "calibration_error": "calibration",
        "log_loss": "calibration",
        "best_temperature": "calibration",
        "accuracy": "classification",
        "r2": "classification",
        "roc_auc": "classification",
        "Ranking": "ranking",
        "rank": "ranking",
        "rank_embeddings": "ranking",
        "any_hit_at_k": "retrieval",
        "recall_at_k": "retrieval",
        "precision_at_k": "retrieval",
        "first_rank": "retrieval",
        "median_rank": "retrieval",
        "reciprocal_rank": "retrieval",
        "average_precision": "retrieval",
        "ndcg": "retrieval",
        "k_occurrence": "retrieval",
        "hubness": "retrieval",
        "RetrievalReport": "report",
        "RetrievalScores": "report",
        "retrieval_report": "report",
    },
)
