"""PyTorch models: their steps as graphs, what operators cost here, plans as device maps."""
