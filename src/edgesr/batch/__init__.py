"""`edgesr batch`: millions of pictures on a Ray cluster, from and to any storage that fsspec knows, with a ledger in Parquet."""
