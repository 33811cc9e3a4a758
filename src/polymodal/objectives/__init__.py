"""Losses: tensors in, one number out. Each knows nothing of encoders, data sets or training.

* `info_nce` and `pairwise_info_nce`: recognise your own partner among all rows (memory linear in the rows)
* `margin_loss`: a triplet hinge, over all negatives (VSE), the hardest one (VSE++) or the nearest beyond the partner (FaceNet)
* `sigmoid_loss`: every pair its own yes-or-no question (SigLIP; memory linear in the rows)
* `pairwise_loss`: any of them over pairs of several modalities, of which rows may lack some
* `decorrelation_loss`: two parts of a representation should share nothing linear
* `row_orthogonality_loss`, `cross_covariance_loss`, `difference_loss` and `subspace_loss`: other ways for two parts not to overlap
* `ClubPenalty`, `NceClubPenalty` and `AdversarialPenalty`: what one part says about another, linear or not, by a network trained along
* `AugmentedLagrangian`: a constraint that holds, by multipliers that ascend
* `similarity_loss`: one minus the similarity of partners
* `correlation_loss` and `generalised_correlation_loss`: minus the canonical correlations of two, or more, sets of features
* `normal_divergence`, `normal_log_density`, `divergence_terms`: terms of the evidence lower bound
* `importance_weighted_bound`: a tighter bound from several draws; `NormalMixture`: a posterior of several parts
* `GaussianLikelihood`, `LaplaceLikelihood`, `BernoulliLikelihood`, `CategoricalLikelihood`: how likely values are under what a decoder says
* `matching_game`, `maximum_mean_discrepancy`: the distribution of codes should be that of a prior
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
        "row_orthogonality_loss": "orthogonality",
        "cross_covariance_loss": "orthogonality",
        "difference_loss": "orthogonality",
        "subspace_loss": "orthogonality",
        "ClubPenalty": "redundancy",
        "NceClubPenalty": "redundancy",
        "AdversarialPenalty": "redundancy",
        "Redundancy": "redundancy",
        "reverse_gradient": "redundancy",
        "AugmentedLagrangian": "augmented_lagrangian",
        "similarity_loss": "similarity",
        "correlation_loss": "correlation",
        "generalised_correlation_loss": "correlation",
        "normal_divergence": "elbo",
        "normal_log_density": "elbo",
        "draw_normal": "elbo",
        "importance_weighted_bound": "elbo",
        "divergence_terms": "elbo",
        "DivergenceTerms": "elbo",
        "NormalMixture": "normal_mixture",
        "Likelihood": "likelihoods",
        "GaussianLikelihood": "likelihoods",
        "LaplaceLikelihood": "likelihoods",
        "BernoulliLikelihood": "likelihoods",
        "CategoricalLikelihood": "likelihoods",
        "matching_game": "prior_matching",
        "maximum_mean_discrepancy": "prior_matching",
        "temporal_cycle_loss": "cycle_consistency",
    },
)
