"""Losses: tensors in, one number out. Each knows nothing of encoders, data sets or training.

* `info_nce` and `pairwise_info_nce`: recognise your own partner among all rows (memory linear in the rows)
* `margin_loss`: a triplet hinge, over all negatives (VSE) or the hardest one (VSE++)
* `sigmoid_loss`: every pair its own yes-or-no question (SigLIP)
* `similarity_loss`: one minus the similarity of partners
* `correlation_loss` and `generalised_correlation_loss`: minus the canonical correlations of two, or more, sets of features
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "info_nce": "infonce",
        "info_nce_reference": "infonce",
        "pairwise_info_nce": "infonce",
        "positive_pairs": "positives",
        "margin_loss": "margin",
        "sigmoid_loss": "sigmoid",
        "similarity_loss": "similarity",
        "correlation_loss": "correlation",
        "generalised_correlation_loss": "correlation",
    },
)
