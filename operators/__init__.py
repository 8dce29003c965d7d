"""What the project says about operators that is not code; read as resources of ``tfsql.operators``."""
