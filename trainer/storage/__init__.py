"""Where data comes from and results go: a folder or a bucket, behind one small protocol (see `base`)."""
