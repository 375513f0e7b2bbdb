"""Second factors, one file each.  Pure: secrets, codes and times come in, a verdict goes out."""
