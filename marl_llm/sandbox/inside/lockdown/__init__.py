"""Kernel-level lockdown of one child process by ctypes alone: resource limits, Landlock and
seccomp.

Everything here runs in trusted code, in a process with one thread, before any untrusted line.
"""
