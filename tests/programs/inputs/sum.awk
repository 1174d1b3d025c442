#!/usr/bin/mawk -f
{ n += $1 } END { print n }
