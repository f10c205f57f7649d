"""What the intervals cover, in words."""

from fewshot.reporting.sections.section import Section

IN_SHORT = (
    "*Over splits*: mean ± t · SD / √n over the splits that were run. It covers the choice of splits of this one "
    "collection, and says nothing of other images.\n\n"
    "*For new images*: the same, allowing for the test images that splits share (Nadeau and Bengio, 2003). It covers "
    "the accuracy to expect on new images of the same kind.\n\n"
    "*Other test images*: a bootstrap over the test images, each with all that its splits said of it. It covers which "
    "images there happened to be to test on, with the classifiers as they were trained here; copies of a picture count "
    "as independent images."
)


class Intervals(Section):
    """Three kinds of intervals, each with what it covers and what it doesn't."""

    anchor = "intervals"
    heading = "What the intervals cover"
    prose = True

    def html(self) -> str:
        ends = self.content.results[["ci_high", "ci_corrected_high"]]
        return self.render(
            overlap=self.content.measured.overlap,
            beyond=bool((ends > 1).any(axis=None)),
        )

    def markdown(self) -> list[str]:
        return [IN_SHORT]
