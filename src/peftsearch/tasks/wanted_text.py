"""The text that a model should write for an example."""

import json

from peftsearch.tasks.messages import texts_of, without_answer
from peftsearch.tasks.task import Example, Goal


def wanted_text(example: Example, goal: Goal) -> str:
    """The target of a text, the completion of a prompt, or the last answer of a chat.

    Args:
        example: with its target.
        goal: of its task.

    Returns:
        the text; of an answer its texts in lines; empty for whole texts, and for a chat that ends with a question or a
        call.
    """
    if goal is Goal.LANGUAGE_MODEL:
        return ""
    if goal is not Goal.CHATS:
        return example.text
    if example.answers:
        answer = json.loads(example.answers[0])
    else:
        messages = json.loads(example.fields[0][1])
        answer = messages[len(without_answer(messages)) :]
    return "\n".join(text for message in answer for text in texts_of(message))
