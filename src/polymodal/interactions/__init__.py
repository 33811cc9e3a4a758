"""How modalities act together: on a response, in what is known about them, and inside a model that was fitted.

Three questions, three groups of answers. Do two measurements interact in what they say about a response
(`interaction_regression`, `classify_responses`)? What does a fitted model use (`empirical_additive_projection`,
`modality_contribution`, `robustness_curves`)? Which information do modalities share? Nothing here predicts.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "interaction_regression": "regression",
        "InteractionRegression": "regression",
        "Rung": "regression",
        "Coefficient": "regression",
        "Comparison": "regression",
        "Slope": "regression",
        "classify_responses": "taxonomy",
        "ResponseTaxonomy": "taxonomy",
        "empirical_additive_projection": "additive_projection",
        "AdditiveProjection": "additive_projection",
        "modality_contribution": "contribution",
        "ModalityContribution": "contribution",
        "robustness_curves": "robustness",
        "RobustnessCurves": "robustness",
        "Curve": "robustness",
        "multivariate_interaction": "multivariate",
        "MultivariateInteraction": "multivariate",
        "Step": "multivariate",
        "MINELowerBound": "learned_information",
        "NWJLowerBound": "learned_information",
        "InfoNCELowerBound": "learned_information",
        "CLUBUpperBound": "learned_information",
        "PairCritic": "learned_information",
        "ConditionalNormal": "learned_information",
    },
)
