recompile_limit: int
