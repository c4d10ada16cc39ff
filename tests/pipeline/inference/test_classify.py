"""Several views of a clip, against the same worked out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skeletons import make_annotations

from skelact.pipeline.checkpoints.networks import build_classifier
from skelact.pipeline.config import ClassifierConfig, EncoderConfig
from skelact.pipeline.data.clip_store import ClipStore
from skelact.pipeline.data.preprocess import PreprocessConfig, normalize
from skelact.pipeline.evaluation.metrics import measure
from skelact.pipeline.inference import classify

CONFIG = PreprocessConfig(clip_len=8, num_person=2)
# COCO-17: the nose stays, and of each pair the sides change places.
OTHER_SIDE = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


def by_hand(model, annotation, num_clips, flip):
    """Return class probabilities (num_classes,), one view after the other."""
    frames = normalize(annotation, CONFIG)  # (M, T, V, C)
    total = 0.0
    for i in range(num_clips):
        spans = np.arange(8) + (i + 0.5) / num_clips
        x = frames[:, np.floor(spans * frames.shape[1] / 8).astype(int)]
        for view in [x, x[:, :, OTHER_SIDE] * [-1, 1]] if flip else [x]:
            logits = model(torch.from_numpy(view.astype(np.float32))[None])[0].double().numpy()
            exponentials = np.exp(logits - logits.max())
            total = total + exponentials / exponentials.sum()
    return total / (num_clips * (2 if flip else 1))


@pytest.mark.parametrize(("num_clips", "flip"), [(10, True), (10, False), (1, True)])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_scores_of_several_views_and_the_figures_from_them(num_clips, flip, batch_size):
    torch.manual_seed(0)
    network, head = EncoderConfig(embed_dim=16, hidden_dim=16), ClassifierConfig(temporal_dim=32)
    model = build_classifier(CONFIG, network, head, 3).eval()
    clips = make_annotations(3, num_person=2)
    protocol = classify.TestProtocol(num_clips, flip)
    store = ClipStore(clips, CONFIG)
    device = torch.device("cpu")
    scores, _ = classify.score_clips(
        model, store, device=device, protocol=protocol, batch_size=batch_size
    )
    with torch.inference_mode():
        expected = np.stack([by_hand(model, clip, num_clips, flip) for clip in clips])
    assert np.allclose(scores, expected, atol=1e-6)
    labels = np.array([clip.label for clip in clips])
    recalls = [(expected.argmax(axis=1) == label)[labels == label].mean() for label in range(3)]
    assert measure(scores, labels).mean_class_accuracy == pytest.approx(100 * np.mean(recalls))


def test_one_view_is_not_the_mean_of_ten():
    """What the test above compares differs between protocols."""
    torch.manual_seed(0)
    network, head = EncoderConfig(embed_dim=16, hidden_dim=16), ClassifierConfig(temporal_dim=32)
    model = build_classifier(CONFIG, network, head, 3).eval()
    store = ClipStore(make_annotations(3, num_person=2), CONFIG)
    found = [
        classify.score_clips(model, store, device=torch.device("cpu"), protocol=protocol)[0]
        for protocol in (
            classify.TestProtocol(),
            classify.TestProtocol(10),
            classify.TestProtocol(10, flip=True),
        )
    ]
    assert np.abs(found[0] - found[1]).max() > 1e-5
    assert np.abs(found[1] - found[2]).max() > 1e-5
