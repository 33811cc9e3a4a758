"""More representations than modalities: what the modalities share, and what is private to each."""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "SharedIndividual": "shared_individual",
        "Decomposition": "shared_individual",
        "Shares": "shared_individual",
        "ProjectOut": "projection",
        "SharedPrivateClassifier": "discriminative",
        "PredictiveFission": "contrastive",
        "Loadings": "factors",
        "fit_factors": "factors",
        "factor_scores": "factors",
        "choose_ranks": "ranks",
        "Ranks": "ranks",
        "ComponentFission": "components",
        "principal_loadings": "components",
        "independent_loadings": "components",
        "PrivateVAE": "private_vae",
        "AdversarialAutoencoder": "adversarial_autoencoder",
        "FactorisedClassifier": "factorised",
        "part_scores": "scores",
        "PartScores": "scores",
        "leakage": "scores",
        "Leakage": "scores",
        "measure_disentanglement": "disentanglement",
        "mutual_information_gap": "disentanglement",
        "separated_predictability": "disentanglement",
        "dci": "disentanglement",
        "Disentanglement": "disentanglement",
        "DCI": "disentanglement",
        "FactorGap": "disentanglement",
    },
)
