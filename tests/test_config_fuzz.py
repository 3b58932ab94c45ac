"""Whatever is in the files and on the command line: a study, or a `ConfigError` that says where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bad_inputs import SPACE, STUDY
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gan3d.config.keys import knobs
from gan3d.config.load import load_study
from gan3d.errors import ConfigError

NASTY_TEXTS = """
0
-1
1e999
999999999999999999999999999999
.nan
-.inf
null
~
true
yes
x
1:2
'
"
[
]
[]
[1]
[[1]]
[null]
{
}
{}
{a: 1}
{min: 1}
{min: 1, max: 2}
{min: [], max: {}}
{choice: 3}
{choice: [1, 2]}
{choice: [[1], [2]]}
|
>
- a
a: b
!!int 3
!x
&a
*a
<<
%
@
`
#
? a
---
...
é
\t
\u2028
\x07"""
NASTY = st.sampled_from(NASTY_TEXTS.split("\n"))
ODD_KEYS = """
name question search_space sampler sampler.name scheduler.name objective objective.metric objective.direction.x trials
training training.generator training.generator.filters training.generator.filters.9 data.train.0 figures figures.0
search_space.training.epochs search_space.x search_space. x.y.z 0 training.0 name.0"""
KEYS = [*sorted(knobs()), *ODD_KEYS.split()]
fuzzing = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def attempt(study: bytes, space: bytes = SPACE.encode(), overrides: Sequence[str] = ()) -> None:
    """Load; any other exception than a located `ConfigError` fails the test."""
    where = message = "study.yaml"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_bytes(study)
        (path.parent / "space.yaml").write_bytes(space)
        try:
            load_study(path, overrides)
        except ConfigError as error:
            where, message = error.where, str(error)
    assert where
    assert message.startswith(where)


@st.composite
def with_one_line_changed(draw: st.DrawFn, text: str) -> str:
    """The text with the value of one line, or the whole line, replaced by something nasty."""
    lines = text.splitlines()
    number = draw(st.integers(0, len(lines) - 1))
    key, colon, _ = lines[number].partition(": ")
    lines[number] = f"{key}{colon}{draw(NASTY)}" if draw(st.booleans()) else f"{' ' * draw(st.integers(0, 4))}{draw(NASTY)}"
    return "\n".join(lines)


@fuzzing
@given(with_one_line_changed(STUDY), with_one_line_changed(SPACE))
def test_a_changed_line_is_a_study_or_an_error_with_a_place(study: str, space: str) -> None:
    attempt(study.encode())
    attempt(STUDY.encode(), space.encode())


@fuzzing
@given(st.sampled_from(KEYS), NASTY | st.text(max_size=20))
@example("search_space.training.epochs", "{min: 0, max: 1000000000000000000}")
def test_an_override_is_a_study_or_an_error_with_a_place(key: str, value: str) -> None:
    attempt(STUDY.encode(), overrides=[f"{key}={value}"])


@fuzzing
@given(st.sampled_from(sorted(knobs())), NASTY)
def test_a_range_is_a_study_or_an_error_with_a_place(key: str, value: str) -> None:
    attempt(STUDY.encode(), f"{key}: {value}".encode())


@fuzzing
@given(st.text())
def test_any_text_is_a_study_or_an_error_with_a_place(text: str) -> None:
    attempt(text.encode(), text.encode())
    attempt(STUDY.encode(), text.encode())


@fuzzing
@given(st.binary(max_size=60))
def test_any_bytes_are_a_study_or_an_error_with_a_place(content: bytes) -> None:
    attempt(STUDY.encode() + content)
