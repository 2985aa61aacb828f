"""The rules of a Release, one file a stretch of its life; `decide.py` holds their order."""
