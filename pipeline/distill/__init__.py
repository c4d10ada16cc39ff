"""Our own small networks: people are labelled by teachers, students learn from turned copies."""
