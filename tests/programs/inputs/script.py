#!/usr/bin/python3 -E
import sys
print("hello", len(sys.argv), sys.argv[1:])
sys.exit(5)
