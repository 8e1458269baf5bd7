"""Which instructions wait for which: dependence tokens from the order that a program needs."""

from __future__ import annotations

from flextune.platforms.vta.instruction import Instruction, Module, Tokens

_LINKS = {
    (Module.LOAD, Module.COMPUTE): (Tokens.PUSH_NEXT, Tokens.POP_PREVIOUS),
    (Module.COMPUTE, Module.LOAD): (Tokens.PUSH_PREVIOUS, Tokens.POP_NEXT),
    (Module.COMPUTE, Module.STORE): (Tokens.PUSH_NEXT, Tokens.POP_PREVIOUS),
    (Module.STORE, Module.COMPUTE): (Tokens.PUSH_PREVIOUS, Tokens.POP_NEXT),
}
"""What the one that ends first pushes, and what the one that waits pops."""


class Program:
    """Instructions in order, and their tokens.

    A token does not say who pushed it: the first pop takes the first push. So for each pair of modules the program
    notes up to which instruction the waiting one is sure; what it is sure of already needs no token, and tokens are
    pushed in the order in which they are popped.
    """

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.tokens: list[Tokens] = []
        self._sure = dict.fromkeys(_LINKS, -1)

    def add(self, instruction: Instruction) -> int:
        """Its number."""
        self.instructions.append(instruction)
        self.tokens.append(Tokens.NONE)
        return len(self.instructions) - 1

    def wait(self, waiting: int, ended: int) -> None:
        """Instruction `waiting` starts after `ended` has ended. Calls come in the order of the waiting ones.

        Those before it in the module that `ended` is of have ended then, too. An instruction may wait for one
        instruction of each neighbouring module.
        """
        link = (self.instructions[ended].module, self.instructions[waiting].module)
        if ended <= self._sure[link]:
            return
        push, pop = _LINKS[link]
        assert pop not in self.tokens[waiting], "one instruction pops one token of a module"
        self.tokens[ended] |= push
        self.tokens[waiting] |= pop
        self._sure[link] = ended
