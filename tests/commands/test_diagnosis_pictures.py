"""Pictures are drawn from answers, with names as they are."""

import dataclasses

from polymodal.commands.diagnosis_information import correlated, decomposed, vectors_of
from polymodal.commands.diagnosis_pictures import draw_correlations, draw_harm, draw_parts, draw_scores
from polymodal.commands.diagnosis_robustness import use_of

PNG = b"\x89PNG"


def test_scores_and_curves(planted):
    found = planted("three")
    odd = dataclasses.replace(found.scores.alone[0], name="$x_1$ a very long name of a modality alone")
    scores = dataclasses.replace(found.scores, alone=(odd, *found.scores.alone[1:]))
    assert draw_scores(scores).startswith(PNG)
    assert draw_harm(use_of(found.answers, found.scores)).startswith(PNG)


def test_parts_and_correlations(planted):
    found = planted("unique")
    vectors = vectors_of(found.question)
    parts = decomposed(found.question, vectors, "a", "b", n_resamples=5)
    chance = correlated(found.question, vectors, "a", "b", n_permutations=19)
    pair = found.pair(parts=parts, correlation=chance)
    one, two = draw_parts([pair]), draw_parts([pair, pair])
    assert one.startswith(PNG)
    assert one != two
    assert draw_correlations([pair] * 4).startswith(PNG)
