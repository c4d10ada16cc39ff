"""Training of top-down pose models on people annotated by hand and labelled by a teacher."""
