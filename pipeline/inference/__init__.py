"""From skeletons and clips to action labels, and the export to ONNX."""
