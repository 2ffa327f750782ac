"""The tours of `jumok demo`: ordinary commands on generated data, and a page that grows with them."""
