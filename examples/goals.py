"""Beyond one number to make small: several goals at once, workers side by side, and the search alone (ask and tell).

python examples/goals.py
"""

from __future__ import annotations

import zlib

import flextune

DATA = b"".join(f"{n * n % 977} {n % 13} {'ab' * (n % 7)}\n".encode() for n in range(20_000))


def compressed(level: int, window: int, memory: int) -> dict[str, float]:
    """How small the data become, and how much memory that takes."""
    packer = zlib.compressobj(level, zlib.DEFLATED, window, memory)
    size = len(packer.compress(DATA) + packer.flush())
    return {"ratio": len(DATA) / size, "kibibytes": ((1 << (window + 2)) + (1 << (memory + 9))) / 1024}


SPACE = {"level": range(1, 10), "window": range(9, 16), "memory": range(1, 10)}


def main() -> None:
    """Print a front of two goals, then the same search by hand."""
    result = flextune.minimize(
        compressed,
        SPACE,
        budget=80,
        direction={"ratio": "maximize", "kibibytes": "minimize"},
        enqueue=[{"level": 6, "window": 15, "memory": 8}],  # zlib's own choice first
        workers=2,
    )
    print(f"{result.trials} of {result.space_size} tried, {len(result.front)} that no other one beats:")
    for trial in sorted(result.front, key=lambda each: each.metrics["kibibytes"]):
        print(f"  {trial.metrics['kibibytes']:8.1f} KiB  ratio {trial.metrics['ratio']:5.2f}  {dict(trial.values)}")

    search = flextune.Search(SPACE, direction="maximize", constraints="window + memory <= 20", trials=40)
    for _ in range(40):
        values = search.ask()
        if values is None:
            break
        search.tell(values, compressed(**values)["ratio"])
    if search.best is not None:
        print(f"ask and tell, at most 20 bits: ratio {search.best.value:.2f} with {dict(search.best.values)}")


if __name__ == "__main__":
    main()
