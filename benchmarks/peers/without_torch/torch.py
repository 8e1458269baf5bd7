"""Found before PyTorch in the processes that run TVM, which loads PyTorch when it is there: 1.5 s for nothing."""

raise ImportError("left out of this process")
