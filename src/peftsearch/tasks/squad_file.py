"""SQuAD's own files: articles of paragraphs, each with its questions, as rows."""

from collections.abc import Mapping
from typing import Any

# What a row is called by in an error.
_NAME = "title"


def is_squad_file(document: Any) -> bool:
    """Whether a JSON document is such a file: an object with a list of articles under "data"."""
    articles = document.get("data") if isinstance(document, Mapping) else None
    return isinstance(articles, list) and all(isinstance(one, Mapping) and "paragraphs" in one for one in articles)


def squad_rows(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A row for each question, in their order: its title, context and all that it has itself.

    Source:
        the files of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018), which tools for annotation write too.

    Raises:
        ValueError: for a paragraph without context or questions.
    """
    return [
        {_NAME: article.get(_NAME), "context": context, **question}
        for number, article in enumerate(document["data"], start=1)
        for context, questions in _paragraphs(article, number)
        for question in questions
    ]


def _paragraphs(article: Mapping[str, Any], number: int) -> list[tuple[Any, list[Mapping[str, Any]]]]:
    paragraphs = article["paragraphs"]
    places = enumerate(paragraphs if isinstance(paragraphs, list) else [paragraphs], start=1)
    return [_paragraph(paragraph, f"paragraph {place} of article {number}") for place, paragraph in places]


def _paragraph(paragraph: Any, where: str) -> tuple[Any, list[Mapping[str, Any]]]:
    questions = paragraph.get("qas") if isinstance(paragraph, Mapping) else None
    if not isinstance(questions, list) or not all(isinstance(one, Mapping) for one in questions):
        raise ValueError(f"{where} must be an object with a 'context' and a list of questions, 'qas'")
    return paragraph.get("context"), questions
