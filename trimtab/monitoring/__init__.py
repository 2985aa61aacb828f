"""The monitor: what a version is asked and answers, whether that has moved, and whether it hurts (design §8).

Events come in by `server.py`, `ingest.py` turns them into rows, `store.py` keeps them exactly once; `monitor.py` closes
windows, has them checked and sends findings out. What decides is pure: `windows.py`, `effects.py`, `deciding.py`,
`performance.py`, `quality.py`.
"""
