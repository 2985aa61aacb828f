"""What the monitor knows as pages: one a window, one a model, one for the fleet. Values in, pages out; reading them is `reading.py`'s."""
