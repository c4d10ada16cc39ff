"""From cached skeletons to tables and to the files of other tools, one module per format."""
