"""Built questions in the two forms of the Children's Book Test that readers take."""

from collections.abc import Mapping

from jaxsparse.cbt.build import QuestionPlace, QuestionText


def cbtest(text: QuestionText) -> str:
    """An item in CBTest's own format, without the empty line between items."""
    lines = [f"{number} {line}" for number, line in enumerate(text.sentences, 1)]
    last = f"{len(lines) + 1} {text.question}"
    lines.append(f"{last}\t{text.answer}\t\t{'|'.join(text.options)}")
    return "".join(f"{line}\n" for line in lines)


def hub_row(
    built: QuestionPlace, text: QuestionText, split: str
) -> Mapping[str, object]:
    """A row with the hub's columns, and where it is from."""
    return {
        "sentences": list(text.sentences),
        "question": text.question,
        "answer": text.answer,
        "options": list(text.options),
        "word_class": built.word_class,
        "split": split,
        "story": built.book,
    }
