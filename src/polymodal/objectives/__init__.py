"""Losses: tensors in, one number out. Each knows nothing of encoders, data sets or training.

* `info_nce` and `pairwise_info_nce`: recognise your own partner among all rows (memory linear in the rows)
* `margin_loss`: a triplet hinge, over all negatives (VSE), the hardest one (VSE++) or the nearest beyond the partner (FaceNet)
* `sigmoid_loss`: every pair its own yes-or-no question (SigLIP; memory linear in the rows)
* `pairwise_loss`: any of them over pairs of several modalities, of which rows may lack some
* `decorrelation_loss`: two parts of a representation should share nothing linear
* `similarity_loss`: one minus the similarity of partners
* `correlation_loss` and `generalised_correlation_loss`: minus the canonical correlations of two, or more, sets of features
* `temporal_cycle_loss`: from a frame to the other sequence and back to itself
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "info_nce": "infonce",
        "info_nce_reference": "infonce",
        "info_nce_of_scores": "infonce",
        "pairwise_info_nce": "infonce",
        "pairwise_loss": "pairwise",
        "positive_pairs": "positives",
        "margin_loss": "margin",
        "sigmoid_loss": "sigmoid",
        "sigmoid_loss_reference": "sigmoid",
        "decorrelation_loss": "decorrelation",
        "similarity_loss": "similarity",
        "correlation_loss": "correlation",
        "generalised_correlation_loss": "correlation",
        "temporal_cycle_loss": "cycle_consistency",
    },
)
