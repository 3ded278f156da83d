"""The embedded model: a Qwen3 of about a million parameters, pretrained here by imitating the
scripted pair.
"""
