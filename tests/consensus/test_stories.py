"""Each story in `stories/` goes as it is written.

After a change that is meant, `REWRITE_STORIES=1` writes the new answers into the files; read the
difference before you keep it.
"""

import os
from pathlib import Path

import pytest

from tests.consensus import storybook

STORIES = sorted((Path(__file__).parent / "stories").glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path) -> None:
    told = storybook.run(path)
    if os.environ.get("REWRITE_STORIES"):
        path.write_text(told)
    assert told == path.read_text()


def test_there_are_stories() -> None:
    assert len(STORIES) >= 6
