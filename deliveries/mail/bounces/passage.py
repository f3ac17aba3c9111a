"""A passage of a mail's words, of which each question is answered once, however many recipients it is about."""

from functools import cached_property

from .detection import is_delay, line_of
from .prose import MAX_BLOCK, Mention, find_mentions, server_words, stages_in, transcript


class Passage:
    """Words of one program: a whole notice, or what it says of one address."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __bool__(self) -> bool:
        return bool(self.text)

    @cached_property
    def mentions(self) -> list[Mention]:
        """The addresses that it blames."""
        return find_mentions(self.text)

    @cached_property
    def blocks(self) -> dict[str, "Passage"]:
        """{address: what it says of this one}, for addresses that have words of their own."""
        return {mention.address: Passage(mention.text) for mention in self.mentions}

    @cached_property
    def server_words(self) -> str:
        """The other server's reply behind the sentence that introduces it, or ''."""
        return server_words(self.text)

    @cached_property
    def remote_lines(self) -> str:
        """The other server's answers in a transcript, or ''."""
        return "\n".join(self.transcript)[:MAX_BLOCK]

    @cached_property
    def transcript(self) -> list[str]:
        """The lines of such answers."""
        return transcript(self.text)

    @cached_property
    def stages(self) -> frozenset[str]:
        """The stages of the dialogue of which it speaks."""
        return stages_in(self.line)

    @cached_property
    def line(self) -> str:
        """All of it in one line without accents, as far as it is searched."""
        return line_of(self.text)

    @cached_property
    def delays(self) -> bool:
        """Whether it says that the program is still trying."""
        return is_delay(self.line)
