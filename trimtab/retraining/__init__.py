"""What a finding leads to, and whether it may lead to it now."""
