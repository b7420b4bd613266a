"""What a model is asked by an example, and the text that it should write."""

import json

from peftsearch.tasks.messages import texts_of, without_answer
from peftsearch.tasks.task import Example, Goal


def asked_text(example: Example, goal: Goal) -> str:
    """What a model reads of an example before it writes: its fields, or the turns of a chat with their roles."""
    if goal is not Goal.CHATS:
        return " ".join(text for _, text in example.fields)
    turns = without_answer(json.loads(example.fields[0][1]))
    return "\n".join(f"{turn['role']}: {text}" for turn in turns for text in texts_of(turn))


def wanted_text(example: Example, goal: Goal) -> str:
    """The target of a text, the completion of a prompt, or the last answer of a chat.

    Args:
        example: with its target.
        goal: of its task.

    Returns:
        the text; of an answer its texts in lines; empty for whole texts, and for a chat that ends with a question or a
        call, or in which the assistant alone speaks, so that nothing is asked.
    """
    if goal is Goal.LANGUAGE_MODEL:
        return ""
    if goal is not Goal.CHATS:
        return example.text
    if example.answers:
        answer = json.loads(example.answers[0])
    else:
        messages = json.loads(example.fields[0][1])
        asked = without_answer(messages)
        answer = messages[len(asked) :] if asked else []
    return "\n".join(text for message in answer for text in texts_of(message))
