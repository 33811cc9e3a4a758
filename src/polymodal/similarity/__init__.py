"""How alike two vectors are: similarities and kernels g(z_a, z_b), row by row or all pairs, for numpy arrays and torch tensors."""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Similarity": "kernels",
        "Cosine": "kernels",
        "Euclidean": "kernels",
        "Linear": "kernels",
        "Polynomial": "kernels",
        "ExponentialDot": "kernels",
        "ExponentialDistance": "kernels",
        "RBF": "kernels",
    },
)
