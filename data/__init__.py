"""The handwritten digits, as files; README.md says where they come from and under which licence."""
