"""What a report says of token tables: how a trimmed vocabulary reads text, and what coded tokens keep."""

from collections.abc import Iterable, Iterator

from edgekd.report import StepReport


def told(steps: Iterable[StepReport]) -> Iterator[tuple[str, str]]:
    """Names of steps that changed a token table, each with a sentence."""
    for step in steps:
        for name, found in step.facts.get("coverage", {}).items():
            yield (
                step.step,
                f"{step.facts['tokens']:,} of {step.facts['tokens_before']:,} tokens; of {found['texts']:,} {name} "
                f"texts {found['same']:.1%} are cut as before, {found['tokens']:.3f} times as many tokens, "
                f"unknown {found['unknown']:.2%} (before: {found['unknown_before']:.2%})",
            )
        if (kept := step.facts.get("variance_kept")) is not None:
            yield (
                step.step,
                f"codes keep {kept:.1%} of the variance of the tokens' vectors; {step.facts['parameters']:,} "
                f"parameters with them, {step.facts['parameters_before']:,} before",
            )
