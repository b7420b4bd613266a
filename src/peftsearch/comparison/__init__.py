"""Many runs: methods on tasks over seeds, within one budget."""
