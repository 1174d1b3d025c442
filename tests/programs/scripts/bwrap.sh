echo outside > file
bwrap --ro-bind / / --tmpfs /tmp --proc /proc sh -c 'touch /tmp/x && ls /tmp; touch /x 2>&1 | grep -o "Read-only.*"; grep -c " /tmp " /proc/mounts'
ls /tmp/x 2>&1 | grep -o 'No such.*'
bwrap --bind . /data --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --dir /tmp --chdir /data --setenv A b sh -c 'pwd; ls /; cat file; echo $A > made; id -u'
cat made
bwrap --unshare-uts --hostname boxed --ro-bind / / hostname
bwrap --ro-bind / / --tmpfs "$PWD" --ro-bind-data 5 "$PWD/given" cat "$PWD/given" 5<file
bwrap --ro-bind / / --clearenv --setenv ONLY this env | grep -v PWD
bwrap --ro-bind / / sh -c 'exit 7'; echo $?
bwrap --bind /nothing / true 2>&1
bwrap --ro-bind / / --remount-ro / sh -c 'echo more > file' 2>&1 | grep -o 'Read-only.*'
cat file
