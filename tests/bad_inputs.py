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
  grace: 1
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


def overrides(name: str, texts: tuple[str, ...], *expected: str) -> BadInput:
    """The valid study with several `--set`s."""
    return BadInput(name, expected, overrides=texts)


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
    study(
        "repeated_key", "  global_batch: 16", "  epochs: 8", "study.yaml:18: training.epochs is written twice, first in line 17", "Keep one"
    ),
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
    study(
        "unknown_key",
        "epochs: 4",
        "epoch: 4",
        "study.yaml:17: unknown key training.epoch; did you mean training.epochs?",
        "Keys there: epochs, ",
    ),
    study(
        "unknown_section",
        "sampler:",
        "samplers:",
        "study.yaml:4: unknown key samplers; did you mean sampler?",
        "Keys there: name, question",
    ),
    study(
        "key_of_another_section",
        "name: example",
        "name: example\nepochs: 3",
        "study.yaml:2: unknown key epochs; did you mean training.epochs?",
    ),
    study("missing_name", "name: example\n", "", "study.yaml:1: name is missing", "Add it: it must be 1 to 64 lower-case letters"),
    study(
        "missing_section",
        "data:\n  train: [train.h5]\n  validation: [validation.h5]\n",
        "",
        "study.yaml:1: data is missing",
        "with the keys train, validation",
    ),
    study("missing_nested", "  train: [train.h5]\n", "", "study.yaml:25: data.train is missing", "at least one path"),
    study("name_with_a_slash", "example", "a/b", "study.yaml:1: name = a/b must be 1 to 64 lower-case letters, digits and underscores"),
    study(
        "below_the_limit",
        "epochs: 4",
        "epochs: 0",
        "study.yaml:17: training.epochs = 0 must be a whole number from 1 to 100000",
        "the default, 25",
    ),
    study("fraction_for_whole", "epochs: 4", "epochs: 4.5", "study.yaml:17: training.epochs = 4.5 must be a whole number"),
    study("text_for_number", "epochs: 4", "epochs: '4'", 'study.yaml:17: training.epochs = "4" must be a whole number'),
    study("sexagesimal", "epochs: 4", "epochs: 1:30", "study.yaml:17: training.epochs = 1:30 must be a whole number"),
    study("truth_for_number", "epochs: 4", "epochs: true", "study.yaml:17: training.epochs = true must be a whole number"),
    study("yes_for_true", "epochs: 4", "polar_angle: yes", "study.yaml:17: training.polar_angle = yes must be true or false"),
    study(
        "not_a_number", "epochs: 4", "flipped_targets: .nan", "study.yaml:17: training.flipped_targets", "below 0.5", "the default, 0.05"
    ),
    study(
        "infinite", "epochs: 4", "gradient_clipping: .inf", "study.yaml:17: training.gradient_clipping", "must be a number above 0 or null"
    ),
    study(
        "misspelt_choice",
        "name: tpe",
        "name: tep",
        "study.yaml:5: sampler.name = tep must be one of tpe, gp, cmaes, nsga2, quasi_random, random, grid",
        "Did you mean tpe?",
    ),
    study("even_kernel", "kernel: 3", "kernel: 4", "study.yaml:21: training.generator.kernel = 4 must be one of seed, 3, 5, 7"),
    study("list_too_short", "[16, 16, 16]", "[16, 16]", "study.yaml:20: training.generator.filters = [16, 16] must be a list of 3"),
    study(
        "list_too_long",
        "[16, 16, 16]",
        "[16, 16, 16, 1]",
        "study.yaml:20: training.generator.filters = [16, 16, 16, 1] must be a list of 3",
    ),
    study(
        "bad_list_item",
        "[16, 16, 16]",
        "[16,\n     0, 16]",
        "study.yaml:21: training.generator.filters.1 = 0 must be a whole number from 1 to 1024",
    ),
    study(
        "file_without_brackets", "[train.h5]", "train.h5", "study.yaml:26: data.train = train.h5 must be a list", "Write a list: [train.h5]"
    ),
    study("no_files", "[train.h5]", "[]", "study.yaml:26: data.train = [] must be a list of at least one path or file pattern"),
    study(
        "section_is_a_value",
        "objective:\n  metric: physics.shower_distance",
        "objective: 3",
        "study.yaml:10: objective = 3 must be a section",
    ),
    study("section_is_empty", "trials:\n  number: 6", "trials:", "study.yaml:12: trials = null must be a section", "number, concurrent"),
    study(
        "half_a_gpu",
        "per_trial: 2",
        "gpus_per_worker: 0.5",
        "study.yaml:15: workers.gpus_per_worker = 0.5 must be a whole number from 0 to 1",
    ),
    study("tiny_grid", "data:", "data:\n  grid: [25, 25, 4]", "study.yaml:26: data.grid.2 = 4 must be a whole number from 8 to 128"),
    study(
        "unknown_metric", "shower_distance", "shower_distnce", "study.yaml:11: objective.metric", "did you mean physics.shower_distance?"
    ),
    study(
        "two_mistakes",
        "epochs: 4\n  global_batch: 16",
        "epochs: 0\n  global_batch: 0",
        "study.yaml:17: training.epochs",
        "study.yaml:18: training.global",
    ),
)

CONTRADICTIONS = (
    study(
        "both_batches",
        "epochs: 4",
        "batch_per_worker: 8",
        "study.yaml:18: training.global_batch = 16 contradicts",
        "= 8 (line 17)",
        "Exactly one",
    ),
    study(
        "no_batch", "  global_batch: 16\n", "", "study.yaml:16: training has neither global_batch nor batch_per_worker", "Give exactly one"
    ),
    study(
        "not_divisible",
        "per_trial: 2",
        "per_trial: 3",
        "study.yaml:18",
        "= 16 is not divisible by workers.per_trial = 3 (line 15)",
        "Nearest: 15, 18",
    ),
    study("batch_below_workers", "per_trial: 2", "per_trial: 32", "is not divisible by workers.per_trial = 32 (line 15)", "Nearest: 32."),
    study(
        "grace_beyond_the_end",
        "grace: 1",
        "grace: 9",
        "study.yaml:9: scheduler.grace = 9.0 exceeds training.epochs = 4 (line 17)",
    ),
    study(
        "long_warmup",
        "epochs: 4",
        "learning_rate_warmup_epochs: 30",
        "= 30.0 exceeds training.epochs = 25 (the default)",
        "lower learning_rate",
    ),
    study(
        "observables_of_other_energies",
        "epochs: 4",
        "conditions: seed\n  loss_weights: {observables: 1.0}",
        "training.loss_weights.observables = 1.0 compares showers of the same incident energies, but training.conditions = seed (line 17)",
        "Set training.conditions to training_set",
    ),
    study(
        "bf16_on_cpu",
        "epochs: 4",
        "precision: bf16",
        "study.yaml:17: training.precision = bf16 needs a GPU, but workers.gpus_per_worker = 0",
    ),
    study(
        "threads",
        "per_trial: 2",
        "threads_per_worker: 4",
        "study.yaml:15: workers.threads_per_worker = 4 exceeds workers.cpus_per_worker = 1",
    ),
    study(
        "same_files",
        "[validation.h5]",
        "[train.h5]",
        "study.yaml:27: data.validation = [train.h5] holds",
        "data.train = [train.h5] (line 26)",
    ),
    overrides(
        "one_shower_in_batch_statistics",
        ("training.generator.normalisation=batch", "training.global_batch=2"),
        "training.generator.normalisation = batch takes its statistics from one worker's showers, but there is 1 with",
        "training.global_batch = 2 (--set training.global_batch=2) and workers.per_trial = 2 (study.yaml:15)",
        "Raise the batch, use fewer workers, or set normalisation to group",
    ),
    overrides(
        "kernel_wider_than_the_start",
        ("training.generator.kernel=7", "data.grid=[25, 25, 12]"),
        "training.generator.kernel = 7 reaches 3 cells to each side, but the generator starts with 3",
        "data.grid = [25, 25, 12] (--set data.grid=[25, 25, 12])",
        "Use a kernel of at most 5",
    ),
    override(
        "strides_that_leave_too_little",
        "training.discriminator.strides=[4, 4, 2, 1]",
        "training.discriminator.strides = [4, 4, 2, 1] leave 0 cells, fewer than the 2 of the pooling, along the shortest edge of",
    ),
    study(
        "batch_beyond_the_data", "data:", "data:\n  max_train_showers: 10", "= 16 makes a global batch of 16, more than", "= 10 (line 26)"
    ),
    study(
        "wrong_direction",
        "shower_distance",
        "shower_distance\n  direction: maximize",
        "objective.direction = maximize contradicts that lower is",
    ),
    study("no_number_as_target", "shower_distance", "shower_distance\n  target: .nan", "objective.target = .nan must be a number above 0"),
    study(
        "target_beyond_reach",
        "shower_distance",
        "shower_distance\n  target: 0",
        "study.yaml:12: objective.target = 0 must be a number above 0",
    ),
    study(
        "slowest_is_best",
        "physics.shower_distance",
        "timing.showers_per_second\n  direction: minimize",
        "higher is better",
        "Set it to maximize",
    ),
    study(
        "neutral_metric",
        "physics.shower_distance",
        "losses.generator_total",
        "study.yaml:11",
        "is neither better when lower nor when higher",
    ),
    study(
        "constant_metric",
        "physics.shower_distance",
        "losses.generator_polar_angle",
        "study.yaml:11",
        "training.polar_angle = false (the default)",
    ),
    study(
        "grid_of_a_continuum",
        "name: tpe",
        "name: grid",
        "study.yaml:5: sampler.name = grid needs finite ranges",
        "learning_rate is continuous",
    ),
    study(
        "curve_of_one_point",
        "data:",
        "figures: [scaling_curves]\ndata:",
        "study.yaml:25: figures",
        "the search space has no workers.per_trial",
    ),
    study(
        "front_of_one_objective",
        "data:",
        "figures: [pareto_front]\ndata:",
        "study.yaml:25: figures = [pareto_front] needs several objectives: there are no objective.trade_offs",
    ),
    study(
        "no_search_space",
        "space.yaml",
        "spaces.yaml",
        "study.yaml:3: search_space = spaces.yaml is not a file",
        "relative to the study's file",
    ),
)

RATE = "training.generator.learning_rate"
FILTERS = "training.generator.filters.0"
BATCH = "training.global_batch"

RANGES = (
    space(
        "misspelt_knob",
        "# one\ntraining.generator.learning_rat: {min: 1, max: 2}",
        "space.yaml:2: unknown key",
        f"did you mean {RATE}?",
        "Keys there: ",
    ),
    space("no_such_section", "trainng.epochs: {min: 1, max: 2}", "space.yaml:1: unknown key trainng.epochs; did you mean training.epochs?"),
    space("knob_of_the_study", "trials.number: {min: 1, max: 2}", "space.yaml:1: trials.number belongs to the study, not to a trial"),
    space("a_whole_section", "training.generator: {min: 1, max: 2}", "space.yaml:1: training.generator is a section", RATE),
    space("a_whole_list", "training.generator.filters: {choice: [1, 2]}", "is a list", "Sample its items: training.generator.filters.0 to"),
    space("nested_keys", "training:\n  epochs: {min: 1, max: 2}", "space.yaml:1: training is a section", "training.epochs"),
    space("data_files", "data.train: {choice: [a.h5, b.h5]}", "space.yaml:1: data.train cannot be sampled", "the same files"),
    space("gpus", "workers.gpus_per_worker: {choice: [0, 1]}", "space.yaml:1: workers.gpus_per_worker cannot be sampled", "reserved once"),
    space("bare_list", f"{FILTERS}: [16, 32]", f"space.yaml:1: {FILTERS} = [16, 32] is not a range", "Write {choice: [8, 16]}"),
    space(
        "misspelt_form", f"{RATE}: {{min: 1e-4, max: 1e-2, lgo: true}}", f"space.yaml:1: unknown key {RATE}.lgo; did you mean {RATE}.log?"
    ),
    space("two_forms", f"{FILTERS}: {{choice: [16, 32], min: 1}}", "space.yaml:1", "mixes choice with min"),
    space("no_upper_end", f"{RATE}: {{min: 1e-4}}", f"space.yaml:1: {RATE}: max is missing", "Write {choice"),
    space(
        "ends_swapped",
        f"{RATE}:\n  max: 1e-4\n  min: 1e-2",
        f"space.yaml:3: {RATE}: min = 0.01 is not below {RATE}: max = 0.0001",
        "Swap them",
    ),
    space("no_width", f"{BATCH}: {{min: 16, max: 16}}", "min = 16 is not below", "One value is no range"),
    space("log_of_zero", f"{RATE}: {{min: 0, max: 1, log: true}}", "min = 0 must be above 0 with log: true", "remove log"),
    space("log_with_step", f"{RATE}: {{min: 1, max: 3, step: 1, log: true}}", "space.yaml:1", "step = 1 cannot be combined with log: true"),
    space("step_too_long", f"{FILTERS}: {{min: 16, max: 32, step: 20}}", "step = 20 must be above 0 and at most max - min = 16"),
    space("step_leaves_a_rest", f"{FILTERS}: {{min: 16, max: 60, step: 16}}", "step = 16 does not divide max - min = 44", "set max to 48"),
    space("fractional_step", f"{FILTERS}: {{min: 16, max: 32, step: 0.5}}", "step = 0.5 must be a whole number"),
    space("text_as_end", f"{RATE}: {{min: low, max: 1}}", f"{RATE}: min = low must be a number"),
    space("truth_as_end", f"{FILTERS}: {{min: true, max: 16}}", f"{FILTERS}: min = true must be a number"),
    space("word_for_log", f"{RATE}: {{min: 1e-4, max: 1, log: yes}}", f"{RATE}: log = yes must be true or false"),
    space(
        "end_outside_the_schema",
        f"{FILTERS}: {{min: 0, max: 16}}",
        f"{FILTERS}: min = 0 must be a whole number from 1 to 1024",
        "Narrow the range",
    ),
    space(
        "even_kernels_between",
        "training.generator.kernel: {min: 3, max: 7}",
        "kernel = 4 would be proposed, but must be one of seed, 3, 5, 7",
    ),
    space("words_between", "training.optimiser.name: {min: 1, max: 2}", "min = 1 must be one of rmsprop, adam", "List the values"),
    space(
        "misspelt_value",
        "training.optimiser.name:\n  choice:\n  - adam\n  - rmspop",
        "space.yaml:4",
        "= rmspop must be one of",
        "did you mean rmsprop?",
    ),
    space("fraction_in_choice", f"{FILTERS}: {{choice: [16, 32.5]}}", f"{FILTERS}: choice = 32.5 must be a whole number from 1 to 1024"),
    space("truth_in_choice", f"{FILTERS}: {{choice: [true, 16]}}", f"{FILTERS}: choice = true must be a whole number"),
    space("mixed_choice", f"{RATE}: {{choice: [0.1, high]}}", f"{RATE}: choice = high must be a number above 0"),
    space("value_twice", f"{RATE}: {{choice: [0.1, 0.2, 0.1]}}", f"space.yaml:1: {RATE}: choice = 0.1 is listed twice", "Remove one"),
    space("one_value", f"{FILTERS}: {{choice: [16]}}", f"{FILTERS}: choice = [16] has one value", f"Set {FILTERS} in the study's file"),
    space("no_values", f"{FILTERS}: {{choice: []}}", f"{FILTERS}: choice = [] must be a list of at least two values"),
    space("empty_space_file", "", "space.yaml:1: is empty"),
    space("broken_space_file", "a: [1", "space.yaml:1: not valid YAML"),
)

SAMPLES = (
    space(
        "epochs_under_asha",
        "training.epochs: {min: 1, max: 9}",
        "space.yaml:1: training.epochs cannot be sampled while",
        "asha (study.yaml:8)",
    ),
    space(
        "unused_weight",
        "training.loss_weights.polar_angle: {min: 0, max: 1}",
        "would change nothing: it acts only with training.polar_angle: true",
    ),
    space("unused_reference", "training.learning_rate_reference_batch: {choice: [8, 16]}", "would change nothing", "other than none"),
    space(
        "speed_only",
        "data.read_ahead_batches: {choice: [1, 2]}",
        "space.yaml:1",
        "objective.metric = physics.shower_distance (study.yaml:11)",
    ),
    space(
        "batch_of_the_other_kind", "training.batch_per_worker: {choice: [2, 4]}", "contradicts training.batch_per_worker = 2 (space.yaml:1)"
    ),
    space(
        "some_samples_fail",
        "training.global_batch: {choice: [8, 12]}\nworkers.per_trial: {choice: [1, 8]}",
        "space.yaml:1: training.global_batch = 12 is not divisible by workers.per_trial = 8 (line 2). Nearest: 8, 16.",
        "1 of 4 samples fail; one is {training.global_batch: 12, workers.per_trial: 8}.",
    ),
    space(
        "all_samples_fail",
        "workers.per_trial: {choice: [3, 5, 7]}",
        "study.yaml:18: training.global_batch = 16 is not divisible",
        "All 3 samples fail",
    ),
    space(
        "largest_world_size",
        "workers.per_trial: {choice: [1, 2, 32, 64]}",
        "per_trial = 64 (space.yaml:1). Nearest: 64.",
        "2 of 4 samples fail",
    ),
    space("corners_fail", f"{RATE}: {{min: 0.1, max: 1}}\n{BATCH}: {{min: 2, max: 5}}", "space.yaml:2", "corners of the search space fail"),
    space(
        "too_many_trials", f"{FILTERS}: {{choice: [16, 32]}}", "study.yaml:13: trials.number = 6 exceeds", "different samples", "at most 2"
    ),
)

OVERRIDES = (
    override("no_equals_sign", "training.epochs", "--set training.epochs: is not of the form dotted.key=value", "--set training.epochs=5"),
    override("no_key", "=5", "--set =5: is not of the form dotted.key=value"),
    override("no_key_between_dots", "training..epochs=5", "is not of the form dotted.key=value"),
    override("no_value", "training.epochs=", "--set training.epochs=: training.epochs has no value", "null to unset"),
    override("misspelt", "trainig.epochs=5", "--set trainig.epochs=5: unknown key trainig; did you mean training?"),
    override("misspelt_below", "training.epoch=5", "--set training.epoch=5: unknown key training.epoch; did you mean training.epochs?"),
    override("outside", "training.epochs=0", "--set training.epochs=0: training.epochs = 0 must be a whole number from 1 to 100000"),
    override(
        "item_outside", "training.discriminator.filters.3=0", "training.discriminator.filters.3 = 0 must be a whole number from 1 to 1024"
    ),
    override(
        "no_such_item",
        "training.generator.filters.3=8",
        "is a list of 3; 3 is none of its positions",
        "Use training.generator.filters.0 to",
    ),
    override("below_a_value", "training.epochs.first=1", "--set training.epochs.first=1: training.epochs = 4 is a single value"),
    override("contradiction", "training.batch_per_worker=8", "study.yaml:18", "= 8 (--set training.batch_per_worker=8)", "set it to null"),
    override("not_yaml", "data.train=[a", "--set data.train=[a: not valid YAML"),
    override("pattern", "data.train=*.h5", "--set data.train=*.h5: not valid YAML: a word that starts with *", "Quote it"),
    override("tag", "name=!!python/name:os.system", "--set name=!!python/name:os.system:", "has a tag"),
    override("other_space", "search_space=other.yaml", "--set search_space=other.yaml: search_space = other.yaml is not a file"),
    override(
        "range", f"search_space.{RATE}={{min: 2, max: 1}}", f"--set search_space.{RATE}={{min: 2, max: 1}}: {RATE}: min = 2 is not below"
    ),
)

BAD_INPUTS = (*YAML, *FIELDS, *CONTRADICTIONS, *RANGES, *SAMPLES, *OVERRIDES)
