"""The slow, final physics: two files of showers of any origin, held against each other beside their floor."""
