"""Other algorithms for operators that have several: each says where it applies and builds its program."""
