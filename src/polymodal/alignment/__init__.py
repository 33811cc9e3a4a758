"""Which element of one sequence goes with which of another: problem, method and answer are three objects.

`align(a, b, method)` states the problem, `DTW(...)` is a method, `Alignment` the answer.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Aligner": "answer",
        "Alignment": "answer",
        "align": "answer",
        "align_costs": "answer",
        "DTW": "dtw",
        "dtw_distance": "dtw",
        "dtw_path": "dtw",
        "pairwise_dtw": "dtw",
        "CanonicalTimeWarping": "canonical_time_warping",
        "CanonicalWarp": "canonical_time_warping",
        "GeneralisedTimeWarping": "generalised_time_warping",
        "CommonTime": "generalised_time_warping",
        "Assignment": "assignment",
        "Transport": "transport",
        "GromovWasserstein": "gromov_wasserstein",
        "SoftDTW": "soft_warping",
        "soft_dtw": "soft_warping",
        "soft_dtw_costs": "soft_warping",
        "soft_dtw_divergence": "soft_warping",
        "expected_alignment": "soft_warping",
        "StepPattern": "steps",
        "SakoeChiba": "windows",
        "Itakura": "windows",
        "Window": "windows",
        "IBM1": "ibm",
        "IBM2": "ibm",
        "HMMWordAligner": "hmm_words",
        "Symmetrised": "symmetrised",
        "symmetrise": "symmetrised",
        "plot_matches": "plot",
        "plot_path": "plot",
    },
)
