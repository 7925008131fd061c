"""What a validation asks beside its verdict: which time the dispatch has, and how far off a refuted one is."""
