"""How much one modality says about another: entropies, mutual information, bounds, and the parts that two modalities share or own.

Problem, method and answer are three objects: `mutual_information(x, y, KSG())` gives an `Information`, `decompose(sources, y, BROJA())`
a `Decomposition`. What has to be given as probabilities ends in `_of_table` or `_table`. Values are in nats unless `unit="bits"`.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Information": "answer",
        "Decomposition": "answer",
        "mutual_information": "problems",
        "entropy": "problems",
        "conditional_entropy": "problems",
        "Estimate": "problems",
        "MutualInformationMethod": "problems",
        "EntropyMethod": "problems",
        "Plugin": "counts",
        "Gaussian": "gaussian",
        "gaussian_mutual_information": "gaussian",
        "KSG": "neighbours",
        "Ross": "neighbours",
        "KozachenkoLeonenko": "neighbours",
        "Bootstrap": "resampling",
        "Subsampling": "resampling",
        "information_content": "tables",
        "entropy_of_table": "tables",
        "conditional_entropy_of_table": "tables",
        "mutual_information_of_table": "tables",
        "conditional_mutual_information_of_table": "tables",
        "kl_divergence": "tables",
        "donsker_varadhan_lower_bound": "bounds",
        "nwj_lower_bound": "bounds",
        "infonce_lower_bound": "bounds",
        "club_upper_bound": "bounds",
        "decompose": "decomposition",
        "decompose_table": "decomposition",
        "BROJA": "decomposition",
        "Imin": "decomposition",
        "MMI": "decomposition",
        "Clustered": "reduced",
        "Predicted": "reduced",
    },
)
