"""What runs on the untrusted side: the zygote, its forked children, and the protocol they speak
with the host.

Only these files are bound into the sandbox, and they are imported there as the package `inside`.
They import nothing of the rest of the project, so the sandbox holds neither its code nor its
dependencies.
"""
