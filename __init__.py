"""skelact: from raw sports video to a fine-grained action label.

The package is laid out by the boxes of its picture: ``pose_extract`` turns video into skeleton
sequences, ``models`` holds SkeletonMAE and the SSL classifier, ``pipeline`` trains, evaluates and
predicts. Importing ``skelact`` imports none of them.
"""

__version__ = "0.1.0"


class SkelactError(Exception):
    """An error with a clear cause: says what was expected, what came and what to do next.

    The command line prints its message without a traceback; a batch counts it against the one
    video it came from.
    """
