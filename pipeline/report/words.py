"""Confidences in words."""

from __future__ import annotations

# Least probability of each term: the likelihood scale of the guidance note for authors of the IPCC
# (Mastrandrea et al. 2010, table 1).
_TERMS = (
    (0.99, "virtually certain"),
    (0.90, "very likely"),
    (0.66, "likely"),
    (0.33, "about as likely as not"),
    (0.10, "unlikely"),
    (0.00, "very unlikely"),
)


def in_words(confidence: float) -> str:
    """Return a probability, 0 to 1, in words.

    >>> in_words(0.86)
    'likely'
    """
    return next((term for least, term in _TERMS if confidence >= least), _TERMS[-1][1])
