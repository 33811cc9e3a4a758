"""The training loop of learned methods: options, batches of distinct values, checkpoints, progress, several processes."""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Training": "options",
        "History": "history",
        "Batch": "batches",
        "Batches": "batches",
        "Column": "batches",
        "make_batch": "batches",
        "EmbeddingLoss": "gradient_cache",
        "Embedded": "gradient_cache",
        "train": "loop",
        "DivergenceError": "loop",
        "infer": "inference",
        "seeded": "seeding",
        "choose_device": "devices",
        "all_gather_rows": "distributed",
        "Progress": "progress",
        "report_progress": "progress",
    },
)
