"""What a study costs: meters on each node, the ledger of what was spent, its price, and the budget that ends it."""
