mkdir data && chmod 777 . data
mariadb-install-db --no-defaults --datadir="$PWD/data" --auth-root-authentication-method=normal --user=root > log 2>&1 || tail -n 3 log
mariadbd --no-defaults --datadir="$PWD/data" --socket="$PWD/s" --skip-networking --user=root --pid-file="$PWD/pid" > log 2>&1 &
m() { mariadb --no-defaults -S "$PWD/s" -uroot "$@"; }
for i in $(seq 100); do m -e 'select 1' > /dev/null 2>&1 && break; sleep 0.2; done
m -e 'create database t; use t; create table a (i int primary key, s text) engine=innodb; insert into a values (1, "x"), (2, "y"); start transaction; update a set s = "z"; rollback; select * from a; select count(*), sum(i) from a'
for i in 1 2 3 4; do
    for j in $(seq 20); do echo "insert into a values ($i$j * 100, 'c');"; done | m t &
    clients="$clients $!"
done
wait $clients
m t -e 'select count(*) from a; check table a'
mariadb-admin --no-defaults -S "$PWD/s" -uroot shutdown
wait
grep -o 'Shutdown complete' log
