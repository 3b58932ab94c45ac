"""What is wrong with a cluster, seen from every node, before a study finds out."""
