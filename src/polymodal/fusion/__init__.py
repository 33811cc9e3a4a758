"""Several modalities in, one representation out.

Each learned method stands on two levels: a layer (`forward(inputs, present)`) for a loop of your own, and an estimator that
encodes, trains and predicts. All of them take rows that lack modalities, when fitting and after.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "AdditiveFusion": "additive",
        "AdditiveLayer": "additive",
        "EarlyFusion": "early",
        "LateFusion": "late",
        "MultiplicativeFusion": "multiplicative",
        "MultiplicativeLayer": "multiplicative",
        "BilinearFusion": "bilinear",
        "BilinearLayer": "bilinear",
        "count_sketch": "bilinear",
        "tensor_sketch": "bilinear",
        "GatedFusion": "gated",
        "GatedLayer": "gated",
        "Gated": "gated",
        "reinforce_loss": "gated",
        "GaussianMixtureFusion": "gaussian_mixture",
        "PolynomialFusion": "polynomial",
        "PolynomialLayer": "polynomial",
        "LowRankFusion": "low_rank",
        "LowRankLayer": "low_rank",
        "low_rank_to_tensor": "low_rank",
        "tensor_to_low_rank": "low_rank",
        "TensorFusion": "tensor",
        "TensorLayer": "tensor",
        "tensor_contract": "tensor",
        "outer_product": "tensor",
        "mean_rule": "late",
        "product_rule": "late",
        "gaussian_product": "late",
        "vote_rule": "late",
        "vote_weight": "late",
    },
)
