"""What hosts have logged, read from where it was shipped to: proven to be whole, shown, and made into intervals."""
