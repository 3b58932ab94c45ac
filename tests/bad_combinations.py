"""Wrong forbidden combinations, and what the user must read of each."""

from __future__ import annotations

from dataclasses import replace

from bad_inputs import BATCH, FILTERS, RATE, STUDY, BadInput, override, overrides, space

RANGES = f"{FILTERS}: {{choice: [16, 32]}}\n{RATE}: {{min: 1e-4, max: 1e-2, log: true}}\n{BATCH}: {{min: 16, max: 64, step: 16}}\n"
BLOCKS = "training.discriminator.blocks: {min: 2, max: 4}\n"
STRIDES = "training.discriminator.strides.3: {choice: [1, 2], when: {training.discriminator.blocks: [4]}}\n"
STAIRS = "stairs:\n  start: {}\n  more: {training.generator.filters.1: 32}\n"
FINITE = f"{FILTERS}: {{choice: [16, 32, 64]}}\ntraining.seed: {{choice: [1, 2]}}\n"


def combination(name: str, text: str, *expected: str, ranges: str = RANGES) -> BadInput:
    """A search space with one forbidden combination, in the line behind its ranges and the word."""
    return space(name, f"{ranges}forbidden:\n  - {text}\n", *expected)


def forbidden(name: str, text: str, *expected: str, ranges: str = RANGES) -> BadInput:
    """A search space whose forbidden combinations are all given."""
    return space(name, f"{ranges}forbidden: {text}\n", *expected)


def of_a_grid(bad: BadInput, sampler: str, number: int) -> BadInput:
    """The same with a grid and a number of trials."""
    text = STUDY.replace("name: tpe", f"name: grid\n  {sampler}", 1).replace("number: 6", f"number: {number}", 1)
    return replace(bad, study=text.encode())


FORMS = (
    forbidden("combinations_of_a_word", "all", "space.yaml:4: forbidden = all must be a list of combinations. Write - {training.global"),
    forbidden("one_combination_without_a_list", f"{{{BATCH}: [16]}}", "space.yaml:4: forbidden = ", "must be a list of combinations"),
    forbidden("no_combinations", "", "space.yaml:4: forbidden = null must be a list of combinations"),
    combination("empty_combination", "{}", "space.yaml:5: forbidden.0 = {} must be sampled keys with the values that must not meet"),
    combination("combination_of_a_key", BATCH, "space.yaml:5: forbidden.0 = training.global_batch must be sampled keys"),
    combination(
        "single_value", f"{{{BATCH}: 64}}", f"space.yaml:5: forbidden.0.{BATCH} = 64 must be values or the ends", "Write a list of values"
    ),
    combination("no_values_at_all", f"{{{BATCH}: []}}", f"space.yaml:5: forbidden.0.{BATCH} = [] must be values"),
    combination("neither_end", f"{{{BATCH}: {{}}}}", f"forbidden.0.{BATCH} = {{}} must be values or the ends", "of which one suffices"),
    combination("list_in_a_list", f"{{{BATCH}: [[16, 32]]}}", f"forbidden.0.{BATCH} = [[16, 32]] must be values"),
    combination(
        "misspelt_end",
        f"{{{RATE}:\n      {{maximum: 1e-3}}}}",
        f"space.yaml:6: unknown key forbidden.0.{RATE}.maximum; did you mean forbidden.0.{RATE}.max? Keys there: min, max.",
    ),
    combination("end_of_a_word", f"{{{RATE}: {{max: small}}}}", f"forbidden.0.{RATE}.max = small must be a finite number"),
    combination("true_end", f"{{{RATE}: {{min: true}}}}", f"forbidden.0.{RATE}.min = true must be a finite number"),
    combination("endless_end", f"{{{RATE}: {{max: .inf}}}}", f"forbidden.0.{RATE}.max = .inf must be a finite number"),
    combination(
        "ends_the_wrong_way_round",
        f"{{{RATE}: {{min: 1e-3, max: 5e-4}}}}",
        f"space.yaml:5: forbidden.0.{RATE}.min = 0.001 is above forbidden.0.{RATE}.max = 0.0005",
        "Swap them",
    ),
    space(
        "misspelt_forbidden", f"{RANGES}forbiden:\n  - {{{BATCH}: [16]}}\n", "space.yaml:4: unknown key forbiden; did you mean forbidden?"
    ),
)

KEYS = (
    combination(
        "key_that_is_not_sampled",
        "{training.global_bach: [16]}",
        f"space.yaml:5: forbidden.0.training.global_bach is not a key of the search space; did you mean {BATCH}? Sampled keys: {FILTERS}, ",
    ),
    combination("key_without_a_range", "{training.epochs: [4]}", "forbidden.0.training.epochs is not a key of the search space"),
    forbidden(
        "nothing_is_sampled",
        f"[{{{BATCH}: [16]}}]",
        f"space.yaml:1: forbidden.0.{BATCH}",
        "Nothing is sampled: remove forbidden.",
        ranges="",
    ),
    combination(
        "key_that_stairs_change",
        "{training.generator.filters.1: [32]}",
        "space.yaml:8: forbidden.0.training.generator.filters.1 is changed by stairs, not sampled on its own",
        "Name stairs by their names: {stairs: [more]}.",
        ranges=RANGES + STAIRS,
    ),
    combination("no_such_stair", "{stairs: [fewer]}", "forbidden.0.stairs = [fewer] is never fewer", ranges=RANGES + STAIRS),
)

VALUES = (
    combination(
        "value_outside_the_range", f"{{{BATCH}: [16, 128]}}", f"space.yaml:5: forbidden.0.{BATCH} = [16, 128] is never 128", "Use values"
    ),
    combination("value_between_steps", f"{{{BATCH}: [24]}}", f"forbidden.0.{BATCH} = [24] is never 24"),
    combination("value_that_is_no_choice", f"{{{FILTERS}: [true]}}", f"forbidden.0.{FILTERS} = [true] is never true"),
    combination(
        "numbers_of_a_continuum",
        f"{{{RATE}: [1e-3]}}",
        f"forbidden.0.{RATE} = [0.001] lists single numbers of a continuous range",
        "{min: ...",
    ),
    combination(
        "end_outside_the_range",
        f"{{{RATE}: {{max: 3e-5}}}}",
        f"space.yaml:5: forbidden.0.{RATE}.max = 3e-05 lies outside its range, 0.0001 to 0.01",
        "leave this one out",
    ),
    combination(
        "ends_between_steps", f"{{{BATCH}: {{min: 17, max: 31}}}}", f'forbidden.0.{BATCH} = {{"min": 17, "max": 31}} holds for none'
    ),
    combination(
        "ends_of_words",
        "{training.optimiser.name: {min: 1}}",
        "forbidden.0.training.optimiser.name",
        "is no number. List values of it: [adam].",
        ranges=f"{RANGES}training.optimiser.name: {{choice: [adam, rmsprop]}}\n",
    ),
    combination(
        "condition_that_is_excluded",
        "{training.discriminator.blocks: {max: 3}, training.discriminator.strides.3: [2]}",
        "space.yaml:4: forbidden.0.training.discriminator.strides.3 is sampled only when training.discriminator.blocks is 4",
        "It never comes up",
        ranges=BLOCKS + STRIDES,
    ),
)

NOTHING_LEFT = (
    combination(
        "everything_at_once",
        f"{{{FILTERS}: [16, 32], {BATCH}: {{min: 16}}}}",
        "space.yaml:5: forbidden.0 forbids every sample: its entries hold for all values",
        "Narrow one of them",
    ),
    forbidden(
        "everything_bit_by_bit",
        f"[{{{RATE}: {{max: 1e-3}}, {FILTERS}: [16]}}, {{{RATE}: {{min: 1e-3}}}}, {{{FILTERS}: [32]}}]",
        "space.yaml:4: forbidden leaves no sample of the search space. Remove or narrow a combination.",
    ),
    of_a_grid(
        combination(
            "more_trials_than_are_left",
            f"{{{FILTERS}: [16, 32], training.seed: [1]}}",
            "trials.number = 5 exceeds",
            "at most 4",
            ranges=FINITE,
        ),
        "distinct: false",
        5,
    ),
    of_a_grid(
        combination(
            "blocks_that_differ",
            f"{{{FILTERS}: [16], training.seed: [1]}}",
            "space.yaml:4: forbidden.0 names the key of the blocks, sampler.blocks = training.seed (study.yaml:6)",
            "Blocks hold the same combinations",
            ranges=FINITE,
        ),
        "blocks: training.seed",
        5,
    ),
    of_a_grid(
        combination(
            "blocks_cut_short", f"{{{FILTERS}: [16]}}", "trials.number = 3 is not a whole number of blocks of 2 trials", ranges=FINITE
        ),
        "blocks: training.seed",
        3,
    ),
)

ON_THE_COMMAND_LINE = (
    override(
        "forbidden_by_an_override",
        f"search_space.forbidden=[{{{FILTERS}: [8]}}]",
        f"--set search_space.forbidden=[{{{FILTERS}: [8]}}]: forbidden.0.{FILTERS} = [8] is never 8",
    ),
    overrides(
        "entry_of_an_override",
        (f"search_space.forbidden=[{{{FILTERS}: [16]}}]", f"search_space.forbidden.0.{RATE}={{max: 1}}"),
        f"--set search_space.forbidden.0.{RATE}={{max: 1}}: forbidden.0.{RATE}.max = 1 lies outside",
    ),
)

BAD_COMBINATIONS: tuple[BadInput, ...] = (*FORMS, *KEYS, *VALUES, *NOTHING_LEFT, *ON_THE_COMMAND_LINE)
