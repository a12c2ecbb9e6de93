"""One runtime a file, behind the contract of edgekd.runtime."""
