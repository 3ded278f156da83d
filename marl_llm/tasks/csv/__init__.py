"""CSV files as people have them: encoding, delimiter, decimal mark and records found out; a frame
of strings out.
"""
