"""What a trained model does, to look at: its confusions, its mistakes, where it looks."""

from kerasish.report.classes import ClassificationReport, classification_report
from kerasish.report.confusion import ConfusionMatrix, confusion_matrix
from kerasish.report.grad_cam import GradCam, grad_cam
from kerasish.report.predictions import Predictions, predictions
from kerasish.report.worst import WorstPredictions, worst_predictions

__all__ = [
    "ClassificationReport",
    "ConfusionMatrix",
    "GradCam",
    "Predictions",
    "WorstPredictions",
    "classification_report",
    "confusion_matrix",
    "grad_cam",
    "predictions",
    "worst_predictions",
]
