"""Pictures and pages of attention maps."""
