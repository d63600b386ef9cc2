"""What Hone's classifier thinks of drawings, computed by PyTorch and NumPy: engine/tasks/picture_classifier.h and frechet_distance.h.

The classifier is the net of client/examples/mnist-cnn.yaml as Hone trained it, its weights read from the model's safetensors.
"""
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

SURE = 0.9


class Classifier:
    def __init__(self, model):
        self.w = load_file(f"{model}/model.safetensors")

    @torch.no_grad()
    def __call__(self, pictures):
        """Of pictures u8 [n, 1, 28, 28]: the last hidden layer's features f32 [n, 64] and the probabilities [n, classes]."""
        features, probabilities, w = [], [], self.w
        for part in pictures.split(500):
            x = part.float() / 255
            x = F.max_pool2d(F.relu(F.conv2d(x, w["conv2d_1.weight"], w["conv2d_1.bias"])), 2)
            x = F.max_pool2d(F.relu(F.conv2d(x, w["conv2d_2.weight"], w["conv2d_2.bias"])), 2)
            x = F.relu(x.flatten(1) @ w["dense_1.weight"] + w["dense_1.bias"])
            features.append(x)
            probabilities.append(torch.softmax((x @ w["dense_2.weight"] + w["dense_2.bias"]).double(), 1))
        return torch.cat(features).numpy(), torch.cat(probabilities).numpy()


def root(matrix):
    """Of a symmetric matrix without negative eigenvalues; rounding may have left some."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def frechet_distance(a, b):
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) of two sets of features, in double (Heusel et al. 2017, equation 6)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    half = root(of_a)
    between = np.sqrt(np.maximum(np.linalg.eigvalsh(half @ of_b @ half), 0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(of_a) + np.trace(of_b) - 2 * between)


def as_bytes(drawings):
    """Pictures from −1 to 1 as the bytes that Hone makes of them: rounded, halves away from zero."""
    return torch.floor((drawings.double() * 0.5 + 0.5) * 255 + 0.5).clamp(0, 255).to(torch.uint8)


def judge(classifier, drawings, real):
    """The metrics that Hone's image_generation ends with, of drawings f32 and real pictures u8 [n, 1, 28, 28]."""
    features, probabilities = classifier(as_bytes(drawings))
    of_real, _ = classifier(real)
    most, taken = probabilities.max(1), probabilities.argmax(1)
    classes = probabilities.shape[1]
    shares = np.bincount(taken, minlength=classes) / len(taken)
    confident = np.bincount(taken[most >= SURE], minlength=classes) / len(taken)
    return {"frechet_distance": frechet_distance(features, of_real), "class_share_min": float(shares.min()),
            "class_share_min_confident": float(confident.min()), "classifier_confidence": float(most.mean()),
            "class_shares": shares.round(4).tolist(), "class_shares_confident": confident.round(4).tolist()}
