"""What would have happened: a model's life over old rows (`backtest`), another policy over stored windows (`replay`).

The rules, the windows, the tests, the training steps and the loop are those that run in service. Only the ports are others: they are
in memory, and time is data time.
"""
