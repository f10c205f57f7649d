"""The collection: its tables, its ledger, and the training sets, splits and exports made of them."""
