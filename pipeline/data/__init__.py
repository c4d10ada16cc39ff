"""Annotation files and skeletons to the tensors that models see."""
