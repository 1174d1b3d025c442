cat > e.exp <<'X'
log_user 0
set timeout 20
spawn python3 -q
expect ">>> "; send "6*7\r"; expect "42"; puts answered
expect ">>> "; send "exit(3)\r"; expect eof; puts [lindex [wait] 3]
spawn bash --norc --noprofile
send "stty size; tty > /dev/null && echo a\$((1+1))tty\r"; expect "a2tty"; puts terminal
send "stty rows 33 cols 77; stty size\r"; expect "33 77"; puts resized
send "sleep 100\r"; sleep 0.5; send "\x03"; send "echo was=\$?\r"; expect "was=130"; puts interrupted
send "sleep 100\r"; sleep 0.5; send "\x1a"; expect "Stopped"; send "kill %1; wait; while jobs %1 >/dev/null 2>&1; do sleep 0.1; done; echo is=\$?\r"; expect -re "is=\[0-9]+"; puts stopped
send "exit 5\r"; expect eof; puts [lindex [wait] 3]
X
expect e.exp
cat > s.tcl <<'X'
proc greet {channel address port} { puts $channel "hello from $address"; close $channel }
set server [socket -server greet -myaddr 127.0.0.1 0]
set client [socket 127.0.0.1 [lindex [fconfigure $server -sockname] 2]]
fileevent $client readable {puts [gets $client]; set done 1}
vwait done
set sorted [open "|sort" r+]; puts $sorted "b\na"; close $sorted write; puts [read $sorted]; close $sorted
puts [expr {2**100}]
X
tclsh s.tcl
