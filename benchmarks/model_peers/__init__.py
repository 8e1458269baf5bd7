"""What runs whole models: flextune and the runtimes it is compared with, each in a process of its own."""
