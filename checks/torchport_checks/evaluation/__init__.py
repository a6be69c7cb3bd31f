"""`torchport eval`: how well a model ports a dataset, with which context, as running its ports tells."""
