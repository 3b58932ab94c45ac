"""Wrong requests and what the user must read of each: YAML, fields, contradictions, search spaces, overrides."""

from __future__ import annotations

from dataclasses import dataclass

STUDY = """\
name: example
question: Does it load?
search_space: space.yaml
sampler:
  name: tpe
  seed: 1
scheduler:
  name: asha
  grace_epochs: 1
objective:
  metric: physics.shower_distance
trials:
  number: 6
workers:
  per_trial: 2
training:
  epochs: 4
  global_batch: 16
  generator:
    filters: [16, 16, 16]
    kernel: 3
    normalisation: group
  discriminator:
    normalisation: group
data:
  train: [train.h5]
  validation: [validation.h5]
"""

SPACE = """\
# A comment counts as a line.
training.generator.filters.0: {choice: [16, 32]}
training.generator.learning_rate: {min: 1e-4, max: 1e-2, log: true}
"""


@dataclass(frozen=True)
class BadInput:
    """Files and overrides of a request that must be refused, and what the message must contain."""

    name: str
    expected: tuple[str, ...]
    study: bytes | None = STUDY.encode()
    space: bytes | None = SPACE.encode()
    overrides: tuple[str, ...] = ()


def study(name: str, old: str, new: str, *expected: str) -> BadInput:
    """The valid study with one text replaced."""
    assert old in STUDY
    return BadInput(name, expected, study=STUDY.replace(old, new, 1).encode())


def raw(name: str, content: bytes | None, *expected: str) -> BadInput:
    """Other content of the study's file; None: no such file."""
    return BadInput(name, expected, study=content)


def space(name: str, text: str, *expected: str) -> BadInput:
    """Another search space."""
    return BadInput(name, expected, space=text.encode())


def override(name: str, text: str, *expected: str) -> BadInput:
    """The valid study with one `--set`."""
    return BadInput(name, expected, overrides=(text,))


YAML = (
    raw("no_such_file", None, "study.yaml: cannot be read (no such file or directory)", "YAML files in .: space.yaml"),
    raw("empty_file", b"", "study.yaml:1: is empty", "Write keys and values"),
    raw("only_a_comment", b"# nothing yet\n", "study.yaml:1: is empty"),
    raw("list_at_the_top", b"- name: example\n", "study.yaml:1: holds a list", "Start with a key"),
    raw("one_word", b"example\n", "study.yaml:1: holds the single value example", "Start with a key"),
    raw("not_utf8", b"name: example\nquestion: \xe9t\xe9\n", "study.yaml:2: byte 24 is not UTF-8", "Save the file as UTF-8"),
    raw("utf16", STUDY.encode("utf-16"), "study.yaml:1: byte 0 is not UTF-8"),
    raw("control_character", b"name: example\nquestion: a\x00b\n", "study.yaml:2: the character", "Remove it"),
    raw("too_large", b"# " + b"x" * 1_000_001, "study.yaml: holds more than 1000000 bytes", "Check the path"),
    raw("two_documents", b"name: a\n---\nname: b\n", "study.yaml:2: a second document", "remove it"),
    raw("deep_nesting", b"name: " + b"[" * 5000, "study.yaml:1: nested more than 16 levels", "check the brackets"),
    study("tab", "  epochs: 4", "\tepochs: 4", "study.yaml:17: a tab", "Indent with spaces"),
    study("open_bracket", "[16, 16, 16]", "[16, 16, 16", "study.yaml:21: not valid YAML", "Check brackets"),
    study("two_colons", "epochs: 4", "epochs: 4: 5", "study.yaml:17: not valid YAML: a colon", "quote the value"),
    study("repeated_key", "  global_batch: 16", "  epochs: 8", "study.yaml:18: training.epochs is written twice, first in line 17", "Keep one"),
    study("repeated_section", "data:", "training: {}\ndata:", "study.yaml:25: training is written twice, first in line 16"),
    study("python_tag", "example", "!!python/object/apply:os.system [ls]", "study.yaml:1: name has a tag", "write the plain value"),
    study("own_tag", "epochs: 4", "epochs: !epochs 4", "study.yaml:17: training.epochs has a tag (!epochs)", "write the plain value"),
    study("anchor", "epochs: 4", "epochs: &n 4", "study.yaml:17: training.epochs has an anchor (&n)", "write the value out"),
    study("alias", "[train.h5]", "*files", "study.yaml:26: data.train refers to an anchor (*files)", "Write the value out", "quote it"),
    study("merge_key", "  epochs: 4", "  <<: {epochs: 4}", "study.yaml:17: << (a merge key) is not accepted", "Write the keys out"),
    study("pattern_read_as_alias", "[train.h5]", "[*.h5]", "study.yaml:26: not valid YAML: a word that starts with *", "Quote it"),
    study("leading_zero", "epochs: 4", "epochs: 010", "study.yaml:17: training.epochs = 010 starts with a zero", "octal", "Write 10"),
    study("key_is_a_list", "  epochs: 4", "  [epochs]: 4", "study.yaml:17: a key must be a word"),
)

FIELDS = (
    study("unknown_key", "epochs: 4", "epoch: 4", "study.yaml:17: unknown key training.epoch; did you mean training.epochs?", "Keys there: epochs, "),
    study("unknown_section", "sampler:", "samplers:", "study.yaml:4: unknown key samplers; did you mean sampler?", "Keys there: name, question"),
    study("key_of_another_section", "name: example", "name: example\nepochs: 3", "study.yaml:2: unknown key epochs; did you mean training.epochs?"),
    study("missing_name", "name: example\n", "", "study.yaml:1: name is missing", "Add it: it must be 1 to 64 lower-case letters"),
    study("missing_section", "data:\n  train: [train.h5]\n  validation: [validation.h5]\n", "", "study.yaml:1: data is missing"),
    study("missing_nested", "  train: [train.h5]\n", "", "study.yaml:25: data.train is missing", "at least one path"),
    study("name_with_a_slash", "example", "a/b", "study.yaml:1: name = a/b must be 1 to 64 lower-case letters, digits and underscores"),
    study("below_the_limit", "epochs: 4", "epochs: 0", "study.yaml:17: training.epochs = 0 must be a whole number from 1 to 100000", "the default, 25"),
    study("fraction_for_whole", "epochs: 4", "epochs: 4.5", "study.yaml:17: training.epochs = 4.5 must be a whole number"),
    study("text_for_number", "epochs: 4", "epochs: '4'", "study.yaml:17: training.epochs", "must be a whole number"),
    study("sexagesimal", "epochs: 4", "epochs: 1:30", "study.yaml:17: training.epochs = 1:30 must be a whole number"),
    study("truth_for_number", "epochs: 4", "epochs: true", "study.yaml:17: training.epochs = true must be a whole number"),
    study("yes_for_true", "epochs: 4", "polar_angle: yes", "study.yaml:17: training.polar_angle = yes must be true or false"),
    study("not_a_number", "epochs: 4", "flipped_targets: .nan", "study.yaml:17: training.flipped_targets", "below 0.5", "the default, 0.05"),
    study("infinite", "epochs: 4", "gradient_clipping: .inf", "study.yaml:17: training.gradient_clipping", "must be a number above 0 or null"),
    study("misspelt_choice", "name: tpe", "name: tep", "study.yaml:5: sampler.name = tep must be one of tpe, random, grid", "Did you mean tpe?"),
    study("even_kernel", "kernel: 3", "kernel: 4", "study.yaml:21: training.generator.kernel = 4 must be one of seed, 3, 5, 7"),
    study("list_too_short", "[16, 16, 16]", "[16, 16]", "study.yaml:20: training.generator.filters = [16, 16] must be a list of 3"),
    study("list_too_long", "[16, 16, 16]", "[16, 16, 16, 1]", "study.yaml:20: training.generator.filters = [16, 16, 16, 1] must be a list of 3"),
    study("bad_list_item", "[16, 16, 16]", "[16,\n     0, 16]", "study.yaml:21: training.generator.filters.1 = 0 must be a whole number from 1 to 1024"),
    study("file_without_brackets", "[train.h5]", "train.h5", "study.yaml:26: data.train = train.h5 must be a list", "Write a list: [train.h5]"),
    study("no_files", "[train.h5]", "[]", "study.yaml:26: data.train = [] must be a list of at least one path or file pattern"),
    study("section_is_a_value", "objective:\n  metric: physics.shower_distance", "objective: 3", "study.yaml:10: objective = 3 must be a section"),
    study("section_is_empty", "trials:\n  number: 6", "trials:", "study.yaml:12: trials = null must be a section", "number, concurrent"),
    study("half_a_gpu", "per_trial: 2", "gpus_per_worker: 0.5", "study.yaml:15: workers.gpus_per_worker = 0.5 must be a whole number from 0 to 1"),
    study("tiny_grid", "data:", "data:\n  grid: [25, 25, 4]", "study.yaml:26: data.grid.2 = 4 must be a whole number from 8 to 128"),
    study("unknown_metric", "shower_distance", "shower_distnce", "study.yaml:11: objective.metric", "did you mean physics.shower_distance?"),
    study("two_mistakes", "epochs: 4\n  global_batch: 16", "epochs: 0\n  global_batch: 0", "study.yaml:17: training.epochs", "study.yaml:18: training.global"),
)

CONTRADICTIONS = (
    study("both_batches", "epochs: 4", "batch_per_worker: 8", "study.yaml:18: training.global_batch = 16 contradicts", "= 8 (line 17)", "Exactly one"),
    study("no_batch", "  global_batch: 16\n", "", "study.yaml:16: training has neither global_batch nor batch_per_worker", "Give exactly one"),
    study("not_divisible", "per_trial: 2", "per_trial: 3", "study.yaml:18", "= 16 is not divisible by workers.per_trial = 3 (line 15)", "Nearest: 15, 18"),
    study("batch_below_workers", "per_trial: 2", "per_trial: 32", "is not divisible by workers.per_trial = 32 (line 15)", "Nearest: 32."),
    study("grace_beyond_the_end", "grace_epochs: 1", "grace_epochs: 9", "study.yaml:9: scheduler.grace_epochs = 9 exceeds training.epochs = 4 (line 17)"),
    study("long_warmup", "epochs: 4", "learning_rate_warmup_epochs: 30", "= 30 exceeds training.epochs = 25 (the default)", "lower learning_rate"),
    study("bf16_on_cpu", "epochs: 4", "precision: bf16", "study.yaml:17: training.precision = bf16 needs a GPU, but workers.gpus_per_worker = 0"),
    study("threads", "per_trial: 2", "threads_per_worker: 4", "study.yaml:15: workers.threads_per_worker = 4 exceeds workers.cpus_per_worker = 1"),
    study("same_files", "[validation.h5]", "[train.h5]", "study.yaml:27: data.validation = [\"train.h5\"] holds", "data.train = [\"train.h5\"] (line 26)"),
    study("one_shower_batch", "  discriminator:\n    normalisation: group\n", "", "discriminator.normalisation = batch", "training.global_batch = 16 (line 18)")
    if False
    else study(
        "one_shower_in_batch_statistics",
        "normalisation: group\n  discriminator:\n    normalisation: group",
        "normalisation: batch\n  batch_per_worker: 1\n  discriminator: {normalisation: group}",
        "study.yaml:18: training.global_batch = 16 contradicts training.batch_per_worker = 1 (line 23)",
    ),
    study("wide_kernel", "kernel: 3", "kernel: 7", "NEVER") if False else study(
        "kernel_wider_than_the_start",
        "kernel: 3",
        "kernel: 7\n  polar_angle: false\ndata_: 1",
        "study.yaml:23: unknown key data_",
    ),
)
