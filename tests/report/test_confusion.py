"""Confusion matrices and scores by class, against scikit-learn and numbers by hand."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from kerasish import report

TRUE = [0, 0, 0, 1, 1, 2, 2, 2, 2]
SAID = [0, 1, 0, 1, 1, 2, 0, 2, 1]
NAMES = ["cat", "dog", "owl"]


def random_labels(rows=200, classes=5):
    generator = np.random.default_rng(0)
    return generator.integers(0, classes, rows), generator.integers(0, classes, rows)


# The matrix


def test_class_numbers_may_be_floats():
    found = report.confusion_matrix(np.array(TRUE, "float32"), np.array(SAID, "float32"), NAMES)

    assert (found.matrix == report.confusion_matrix(TRUE, SAID, NAMES).matrix).all()


def test_scores_may_be_bfloat16():
    scores = torch.eye(3)[torch.tensor(SAID)]

    found = report.confusion_matrix(TRUE, scores.bfloat16(), NAMES)

    assert (found.matrix == report.confusion_matrix(TRUE, SAID, NAMES).matrix).all()


@pytest.mark.parametrize("bad", [[0.2, np.nan], [[0.2, 0.8], [np.nan, 1.0]]])
def test_nan_is_refused(bad):
    with pytest.raises(ValueError, match="`y_pred` holds NaN"):
        report.confusion_matrix([0, 1], bad)
    with pytest.raises(ValueError, match="`y_true` holds NaN"):
        report.confusion_matrix(bad, [0, 1])


def test_counts_are_those_made_by_hand():
    found = report.confusion_matrix(TRUE, SAID, NAMES)

    assert found.matrix.tolist() == [[2, 1, 0], [0, 2, 0], [1, 1, 2]]
    assert found.accuracy == pytest.approx(6 / 9)
    assert np.array(found).sum() == 9


def test_counts_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    true, said = random_labels()

    found = report.confusion_matrix(true, said)

    assert (found.matrix == metrics.confusion_matrix(true, said)).all()
    for by, theirs in (("true", "true"), ("predicted", "pred"), ("all", "all")):
        wanted = metrics.confusion_matrix(true, said, normalize=theirs)
        assert_allclose(found.normalized(by), wanted)


@pytest.mark.parametrize(
    "y_true",
    [np.array(TRUE), torch.tensor(TRUE)[:, None], np.eye(3)[TRUE], np.array(TRUE, "float32")],
    ids=["numbers", "column", "one-hot", "floats"],
)
@pytest.mark.parametrize(
    "y_pred",
    [np.array(SAID), torch.eye(3)[SAID] * 4 - 1, np.eye(3)[SAID] * 0.5],
    ids=["numbers", "logits", "probabilities"],
)
def test_classes_are_read_from_every_form(y_true, y_pred):
    assert report.confusion_matrix(y_true, y_pred).matrix.tolist() == [
        [2, 1, 0],
        [0, 2, 0],
        [1, 1, 2],
    ]


def test_one_score_is_for_class_one_above_a_half_or_above_zero():
    probabilities = report.confusion_matrix([0, 1, 1], np.array([[0.2], [0.7], [0.4]]))
    logits = report.confusion_matrix([0, 1, 1], np.array([-1.0, 3.0, -0.4]))

    assert probabilities.matrix.tolist() == logits.matrix.tolist() == [[1, 0], [1, 1]]


def test_named_classes_that_do_not_occur_have_rows_of_zeros():
    found = report.confusion_matrix([0, 1], [0, 1], NAMES)

    assert found.matrix.shape == (3, 3)
    assert found.normalized().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_most_confused_pairs_come_first():
    found = report.confusion_matrix([0, 0, 0, 1, 1, 2], [1, 1, 0, 0, 1, 2], NAMES)

    assert found.most_confused() == [("cat", "dog", 2), ("dog", "cat", 1)]


def test_matrix_is_shown_as_text_and_html():
    found = report.confusion_matrix([0, 1], [0, 0], ["<a>", "b"])

    assert str(found).splitlines()[1].split() == ["<a>", "1", "0"]
    assert "<td>&lt;a&gt;</td><td>1</td><td>0</td>" in found._repr_html_()


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([0, 1], [0, 1, 1], "same number of rows"),
        ([0, -1], [0, 1], "begin with 0, got -1"),
        (["cat"], ["dog"], "`y_true` must hold class numbers"),
        ([0], np.zeros((1, 2, 2)), "`y_pred` must hold class numbers"),
        ([], [], "`y_true` must hold class numbers"),
    ],
)
def test_what_holds_no_classes_is_refused(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        report.confusion_matrix(y_true, y_pred)


def test_too_few_names_are_refused():
    with pytest.raises(ValueError, match="there are 3 classes, but 2 class_names"):
        report.confusion_matrix(TRUE, SAID, ["a", "b"])


def test_unknown_normalisation_is_refused():
    with pytest.raises(ValueError, match="unknown normalisation 'tru'"):
        report.confusion_matrix(TRUE, SAID).normalized("tru")


def test_matrix_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / "confusion.png"

    found = report.confusion_matrix(TRUE, SAID, NAMES, plot=path)
    axis = found.plot(normalize="true").axes[0]

    assert path.read_bytes().startswith(b"\x89PNG")
    assert [label.get_text() for label in axis.get_yticklabels()] == NAMES
    assert [text.get_text() for text in axis.texts][:3] == ["0.67", "0.33", "0.00"]


def test_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    monkeypatch.delitem(__import__("sys").modules, "kerasish.figures", raising=False)

    with pytest.raises(ImportError, match=r"kerasish\[plot\]"):
        report.confusion_matrix(TRUE, SAID).plot()


# Scores by class


def test_scores_are_those_made_by_hand():
    found = report.classification_report(TRUE, SAID, NAMES)

    assert found["cat"] == pytest.approx((2 / 3, 2 / 3, 2 / 3, 3))
    assert found["dog"] == pytest.approx((2 / 4, 1.0, 2 / 3, 2))
    assert found["owl"] == pytest.approx((1.0, 2 / 4, 2 / 3, 4))
    assert found.accuracy == pytest.approx(6 / 9)


def test_scores_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    true, said = random_labels()

    found = report.classification_report(true, said)

    wanted = metrics.precision_recall_fscore_support(true, said)
    for values, theirs in zip(
        (found.precision, found.recall, found.f1, found.support), wanted, strict=True
    ):
        assert_allclose(values, theirs)
    for name, scores in (("macro", found.macro_average), ("weighted", found.weighted_average)):
        theirs = metrics.precision_recall_fscore_support(true, said, average=name)
        assert_allclose(scores[:3], theirs[:3])
    assert scores.support == 200


def test_scores_without_a_divisor_are_zero():
    found = report.classification_report([0, 0], [0, 1], NAMES)

    assert found["dog"] == (0.0, 0.0, 0.0, 0)
    assert found["owl"] == (0.0, 0.0, 0.0, 0)


def test_report_is_shown_as_text_html_frame_and_picture(tmp_path):
    pytest.importorskip("matplotlib")
    found = report.classification_report(TRUE, SAID, NAMES, plot=tmp_path / "scores.png")

    assert str(found).splitlines()[2].split() == ["dog", "0.500", "1.000", "0.667", "2"]
    assert "<td>dog</td><td>0.500</td>" in found._repr_html_()
    assert found.to_frame().loc["owl", "support"] == 4
    assert (tmp_path / "scores.png").exists()


def test_unknown_class_is_refused_with_a_suggestion():
    with pytest.raises(KeyError, match="did you mean 'dog'"):
        report.classification_report(TRUE, SAID, NAMES)["dig"]
