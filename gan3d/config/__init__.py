"""What is asked: the schema of a study, its checks, and YAML files turned into it."""
