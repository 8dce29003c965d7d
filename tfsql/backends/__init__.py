"""Relational engines. Each backend has the methods of ``base.Backend``, in the same order."""
